"""Every command of `infra`: what a test gives it, and what docs/commands.md says of its `--json`."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import typer
from pydantic import TypeAdapter

from ops import __main__ as infra

ROOT = Path(__file__).resolve().parents[2]
ENV = "production"
IMAGE = f"111122223333.dkr.ecr.eu-central-1.amazonaws.com/api@sha256:{'a' * 64}"
# Arguments of each command, after ENV. Commands that need no AWS credentials are not here.
ARGUMENTS: dict[str, list[str]] = {
    "release": ["--service", "api", "--image", IMAGE],
    "releases": ["--service", "api"],
    "rollback": ["--service", "api"],
    "status": [],
    "follow": ["api"],
    "alarms": [],
    "drift": [],
    "run": ["--service", "api", "--", "true"],
    "doctor": [],
    "verify": ["--live", "--only", "weights"],
    "github": [],
    "logs": ["api"],
    "restart": ["api"],
    "id": ["database"],
    "call": ["drift"],
    "secret list": [],
    "restore drill": [],
    "restore list": [],
    "restore back": [],
    "restore point": ["--to", "latest"],
    "restore table": ["visitors", "--from", "daadaar-production-restored"],
    "restore objects": ["avatars/", "--to", "2026-11-26T07:59:59Z"],
    "database upgrade": ["--to", "18"],
    "effects": [],
    "explain": [],
    "edge plan": [],
    "edge drift": [],
    "edge show": [],
    "edge apply": [],
    "edge purge": ["https://media.daadaar.com/a.avif"],
    "change plan": [],
    "change next": [],
    "gameday run": ["tasks-stopped"],
    "maintenance on": [],
    "maintenance off": [],
    "maintenance show": [],
    "redis check": [],
    "redis rotate": [],
    "redis ask": ["INFO"],
}
BEFORE_A_DEPLOYMENT = {"doctor", "drift", "edge plan", "secret list", "github", "verify", "effects", "explain"}
"""Commands that need no stack, or explain more than that it is missing."""
# Commands that need no account, a terminal, or features that production lacks (jobs, previews).
ELSEWHERE: dict[str, list[str]] = {
    "db dump": ["copy.dump", "--reason", "support case 4711"],
    "db shell": ["--reason", "support case 4711"],
    "db tunnel": ["--reason", "support case 4711"],
    "gameday list": [],
    "egress model": [],
    "exec": ["--service", "api"],
    "job list": [],
    "job run": ["clean"],
    "open": [],
    "preview end": ["add-email"],
    "preview list": [],
    "preview start": ["add-email", "--image", IMAGE],
    "preview take": ["add-email"],
    "redis url": [],
    "review": ["HEAD"],
    "sandbox break": ["redis"],
    "sandbox end": [],
    "sandbox repair": [],
    "secret set": ["daadaar/cloudflare-token"],
}
_ROW = re.compile(r"\| (?P<commands>`[^|]+`) \| `(?P<type>[^`]+)`[^|]* \| \[(?P<file>[^\]]+\.py)\]", re.ASCII)


def commands() -> dict[str, Any]:
    """Every command, by its words."""
    found: dict[str, Any] = {}
    for name, command in typer.main.get_group(infra.app).commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {each}": inner[each] for each in inner} if inner else {name: command}
    return found


def with_json() -> set[str]:
    """Commands that accept `--json`."""
    return {name for name, each in commands().items() if any("--json" in option.opts for option in each.params)}


def types() -> dict[str, Any]:
    """Types of the JSON documents by command. Raises if the page names a type that is not in its file."""
    found: dict[str, Any] = {}
    for row in _ROW.finditer((ROOT / "docs" / "commands.md").read_text()):
        module = row["file"].removeprefix("runtime/").removesuffix(".py").replace("/", ".")
        kind = eval(row["type"], {"Any": Any, **vars(importlib.import_module(module))})  # noqa: S307  (our own page)
        found |= dict.fromkeys(re.findall(r"`([^`]+)`", row["commands"]), kind)
    return found


def conforms(command: str, text: str) -> Any:
    """The document. Asserts that it has exactly the fields of the documented type."""
    document, kind = json.loads(text), TypeAdapter(types()[command])
    assert kind.dump_python(kind.validate_json(text, strict=True), mode="json") == document
    return document
