"""`infra egress model`."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.table import Table
from rich.text import Text

from ops.console import Console
from ops.egress.model import TARGET_PERCENT, EdgeModel, MediaTraffic, requests, saving
from ops.errors import InputError
from ops.progress import working
from ops.report import print_json

REQUESTS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)
"""Requests for each object in 30 days."""
_BEYOND = (100.0, 200.0)
"""Only for `requests_for_target`; the table does not show them."""

EDGES: Mapping[str, EdgeModel] = {
    "tiered, kept 30 days": EdgeModel(kept_days=30, tiered=True),
    "tiered, kept 7 days": EdgeModel(kept_days=7, tiered=True),
    "tiered, kept 1 day": EdgeModel(kept_days=1, tiered=True),
    "not tiered, kept 30 days": EdgeModel(kept_days=30, tiered=False),
    "not tiered, kept 7 days": EdgeModel(kept_days=7, tiered=False),
    "not tiered, kept 1 day": EdgeModel(kept_days=1, tiered=False),
}


@dataclass(frozen=True, kw_only=True)
class EgressModel:
    """Results of the model, by the settings of the edge."""

    saving_percent: Mapping[str, Mapping[str, float]]
    """Share of media bytes that the edge saves, by requests per object and month."""
    requests_for_target: Mapping[str, float | None]
    """Requests per object and month from which on the target is met; None beyond what was simulated."""


def model(traffic: MediaTraffic, console: Console, *, plot: Path | None, as_json: bool) -> None:
    """The saving by how often each object is requested; `traffic`'s own number of requests is ignored."""
    if plot is not None and plot.suffix != ".svg":
        raise InputError(f"--plot {str(plot)!r}: expected a file that ends in .svg")
    found: dict[str, dict[float, float]] = {name: {} for name in EDGES}
    with working("simulating a month of requests"):
        for each in (*REQUESTS, *_BEYOND):
            asked = MediaTraffic(**{**vars(traffic), "requests_per_object": each})
            trace = requests(asked)
            for name, edge in EDGES.items():
                found[name][each] = saving(asked, edge, trace).percent
    enough = {name: _enough(row) for name, row in found.items()}
    if plot is not None:
        try:
            plot.write_bytes(_picture(found))
        except OSError as error:
            raise InputError(f"--plot {str(plot)!r}: {error.strerror}") from None
    if as_json:
        percents = {name: {f"{each:g}": value for each, value in row.items()} for name, row in found.items()}
        print_json(EgressModel(saving_percent=percents, requests_for_target=enough))
        return
    table = Table(
        title=f"Media bytes that do not leave the bucket, %, by requests per object and month; "
        f"{traffic.objects} objects, Zipf {traffic.alpha:g}, {traffic.bypass_percent:g} % past every cache",
        title_justify="left",
    )
    table.add_column("at the edge")
    for each in REQUESTS:
        table.add_column(f"{each:g}", justify="right")
    table.add_column(f"{TARGET_PERCENT:g} % from", justify="right")
    for name, row in found.items():
        shown = [row[each] for each in REQUESTS]
        cells = [Text(f"{value:.0f}", "green" if value >= TARGET_PERCENT else "") for value in shown]
        needed = enough[name]
        table.add_row(name, *cells, f"> {_BEYOND[-1]:g}" if needed is None else f"{needed:.1f}")
    console.print(table)
    console.print(
        "A model: independent requests, every object cacheable, nothing purged. What is measured is on the dashboard.",
        highlight=False,
    )


def _enough(row: Mapping[float, float]) -> float | None:
    """Requests per object and month from which on the target is met; None beyond what was simulated."""
    points = sorted(row.items())
    if points[0][1] >= TARGET_PERCENT:
        return points[0][0]
    for (before, low), (after, high) in pairwise(points):
        if low < TARGET_PERCENT <= high:
            share = (TARGET_PERCENT - low) / (high - low)
            return float(before * (after / before) ** share)
    return None


def _picture(found: Mapping[str, Mapping[float, float]]) -> bytes:
    # Imported here, as it takes half a second.
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    # Text stays text, and the same numbers give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "infra"}):
        figure = Figure(figsize=(9, 5.6), layout="constrained")
        axes = figure.add_subplot()
        axes.set(title="Media bytes that do not leave the bucket", ylim=(0, 100), ylabel="%")
        axes.set_xlabel("requests per object in 30 days")
        for name, row in found.items():
            axes.plot(REQUESTS, [row[each] for each in REQUESTS], marker="o", label=name)
        axes.axhline(TARGET_PERCENT, linestyle="--", color="0.4", label=f"the target, {TARGET_PERCENT:g} %")
        axes.legend(loc="lower right", fontsize=8)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()
