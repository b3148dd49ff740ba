"""Draws a synthesized dashboard as it would look after a recorded outage: `make dashboard`.

What is drawn is the definition in the template, widget by widget and metric by metric; the numbers are a trace's.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from ops.templates import synthesized
from rehearsal.cloudwatch.alarms import Trace, read, text_of
from rehearsal.cloudwatch.metric_math import Series, evaluate
from rehearsal.cloudwatch.traces import noisy, recorded, trace

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "dashboard.png"
_OUTAGE = "database-gone"
_MINUTES, _FROM = 180, 75
_RELEASED = 40
# Inches of a unit of the grid, across and down.
_COLUMNS, _ACROSS, _DOWN = 24, 0.66, 0.42
_KEY = "Definition"


def definition(template: Mapping[str, Any]) -> str:
    """Of the only dashboard; names in the place of what is known at deployment."""
    (found,) = [each for each in template["Resources"].values() if each["Type"] == "AWS::CloudWatch::Dashboard"]
    return text_of(found["Properties"]["DashboardBody"])


def digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def drawn(picture: Path) -> str:
    """Digest of the definition that a picture was drawn from."""
    with Image.open(picture) as image:
        return str(image.info[_KEY])


def draw(body: str, into: Path) -> None:
    mpl.rcParams |= {"font.size": 7, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "infra"}
    widgets = json.loads(body)["widgets"]
    rows = max(each["y"] + each["height"] for each in widgets)
    figure = Figure(figsize=(_COLUMNS * _ACROSS, rows * _DOWN), dpi=80)
    numbers = _numbers()
    for widget in widgets:
        x, y, width, height = (widget[key] for key in ("x", "y", "width", "height"))
        inner = ((x + 0.7) / _COLUMNS, 1 - (y + height - 1.5) / rows, (width - 1.1) / _COLUMNS, (height - 2.6) / rows)
        box = ((x + 0.1) / _COLUMNS, 1 - (y + height - 0.1) / rows)
        figure.patches.append(
            Rectangle(
                box,
                (width - 0.2) / _COLUMNS,
                (height - 0.2) / rows,
                transform=figure.transFigure,
                fill=False,
                edgecolor="0.85",
            )
        )
        properties = widget["properties"]
        if widget["type"] == "metric":
            axes = figure.add_axes(inner)
            axes.set_title(properties["title"], loc="left", fontsize=8, fontweight="bold")
            _graph(axes, properties, numbers)
        else:
            text = properties.get("markdown") or properties["title"] + "\n" + _listed(properties)
            figure.text((x + 0.3) / _COLUMNS, 1 - (y + 0.4) / rows, text, va="top", fontsize=7)
    figure.savefig(into, metadata={_KEY: digest(body)})


def _numbers() -> Trace:
    """Three hours: a release, and half an hour later the database is gone for twenty minutes."""
    outage = recorded(_OUTAGE, connections=400)
    changed: dict[str, Series] = {}
    for key, values in outage.items():
        calm = values[0]
        changed[key] = np.full(_MINUTES, calm)
        changed[key][_FROM : _FROM + len(values)] = values
    released = np.full(_MINUTES, np.nan)
    released[_RELEASED] = 1
    changed["Released api"] = released
    return noisy(trace(_MINUTES, changed), _MINUTES, share=0.04, seed=7)


def _listed(properties: Mapping[str, Any]) -> str:
    if "alarms" in properties:
        names = [f"■ {re.sub(r'[0-9A-F]{8}$', '', each)}" for each in properties["alarms"]]
        across = 1 if len(names) < 4 else 5
        return "\n".join("   ".join(names[at : at + across]) for at in range(0, len(names), across))
    return str(properties.get("query", "")).replace("|", "\n|")


def _graph(axes: Axes, properties: Mapping[str, Any], numbers: Trace) -> None:
    right = None
    for label, on_right, values in _series(properties, numbers):
        if on_right and right is None:
            right = axes.twinx()
            right.set_ylim(0, 5)
            right.set_yticks([])
        if on_right and right is not None:
            at = np.flatnonzero(values > 0)
            right.bar(at, values[at], width=2, color="tab:purple", label=label)
        else:
            axes.plot(np.arange(len(values)), values, linewidth=1, label=label)
    for each in properties.get("annotations", {}).get("horizontal", []):
        axes.axhline(each["value"], color="tab:red", linewidth=0.8, linestyle="--")
        axes.annotate(each["label"], (0, each["value"]), color="tab:red", fontsize=6)
    axes.set_ylim(bottom=0)
    axes.set_xticks([0, 60, 120, 180], ["-3 h", "-2 h", "-1 h", "now"])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=5.5, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False, ncols=3)


def _series(properties: Mapping[str, Any], numbers: Trace) -> Iterator[tuple[str, bool, Series]]:
    """(label, on the right axis, a number a minute) of everything that is shown."""
    known: dict[str, Series] = {}
    for entry in properties["metrics"]:
        options = entry[-1] if isinstance(entry[-1], dict) else {}
        if "expression" in options:
            continue
        namespace, name, *dimensions = [each for each in entry if isinstance(each, str)]
        given = {
            "Namespace": namespace,
            "MetricName": name,
            "Period": options.get("period", 300),
            "Statistic": options.get("stat", "Average"),
            "Dimensions": [
                {"Name": key, "Value": value} for key, value in zip(dimensions[::2], dimensions[1::2], strict=True)
            ],
        }
        _, values = read(given, "", numbers, _MINUTES)
        known[options.get("id", name)] = values
        if options.get("visible", True):
            yield options.get("label", name), options.get("yAxis") == "right", values
    for entry in properties["metrics"]:
        options = entry[-1] if isinstance(entry[-1], dict) else {}
        expression = options.get("expression", "")
        if expression.startswith("SEARCH("):
            rolled = np.random.default_rng(3)
            for what, mean in (("block firewallManaged", 30), ("managed_challenge bic", 8)):
                yield what, False, rolled.poisson(mean, _MINUTES).astype(float)
        elif expression:
            yield options.get("label", ""), options.get("yAxis") == "right", evaluate(expression, known)


def main() -> None:
    (template,) = [
        template for stack, template in synthesized("production").items() if stack.endswith("-observability")
    ]
    draw(definition(template), PICTURE)


if __name__ == "__main__":
    main()
