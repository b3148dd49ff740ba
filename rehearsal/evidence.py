"""Compares recorded answers of a live account (`infra verify ENV --live`) with the simulators' answers.

A simulator may omit fields, but may not add one or give it another type, and each check must have the same verdict as
in the live account.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

EVIDENCE = Path(__file__).resolve().parent.parent / "evidence"
"""Committed recordings of live accounts: DATE-ENVIRONMENT.json."""
_IDENTITY = re.compile(r"[0-9a-f]{32}|verify-\d+")
_Document = Mapping[str, Any]


def differences(live: _Document, simulated: _Document) -> Iterator[str]:
    """One line for each difference between the simulators and the live account, both as `ops.verify` writes them."""
    by_name = {each["check"]: each for each in simulated["checks"]}
    for check in live["checks"]:
        name, rehearsed = check["check"], by_name.get(check["check"])
        if rehearsed is None or "not here" in (check["verdict"], rehearsed["verdict"]):
            continue
        if check["verdict"] != rehearsed["verdict"]:
            yield f"{name}: live {check['verdict']} ({check['seen']}), simulated {rehearsed['verdict']}"
        known = dict(_shapes(check))
        for call, shape in _shapes(rehearsed):
            if call in known:
                for path, kind in shape.items():
                    if path not in known[call]:
                        yield f"{name}: {call}: only the simulator has {path}"
                    elif "null" not in (kind, known[call][path]) and known[call][path] != kind:
                        yield f"{name}: {call}: {path} is {known[call][path]} live, {kind} simulated"


def _shapes(check: _Document) -> Iterator[tuple[str, dict[str, str]]]:
    for answer in check["answers"]:
        if answer["vendor"] != "visitor":
            call = f"{answer['vendor']} {_IDENTITY.sub('*', answer['call'])} → {answer['status']}"
            yield call, dict(_fields(answer["body"], ""))


def _fields(node: Any, path: str) -> Iterator[tuple[str, str]]:
    match node:
        case Mapping():
            for key, each in node.items():
                yield from _fields(each, f"{path}.{_IDENTITY.sub('*', key)}")
        case list():
            for each in node:
                yield from _fields(each, f"{path}[]")
        case bool():
            yield path, "boolean"
        case None:
            yield path, "null"
        case int() | float():
            yield path, "number"
        case _:
            yield path, "text"
