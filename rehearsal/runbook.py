"""Runs the commands of a runbook in order."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from ops.functions import Clients
from ops.game_days import GameDayPlace

_RUNBOOKS = Path(__file__).resolve().parents[1] / "docs" / "runbooks"
_CODE = re.compile(r"`([^`]+)`|^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LOOKED_UP = re.compile(r'"\$\(infra (?P<command>id [^)]+)\)"')
_DECIDED = re.compile(r"\b[A-Z][A-Z_]{2,}\b")
"""Placeholder for a value that only a person can choose."""


class RunbookFailed(Exception):
    """The message contains the command and its output."""


def commands(runbook: str, *, environment: str, service: str) -> list[str]:
    """Commands of "Check" and "Act" that need only the environment and a service."""
    text = (_RUNBOOKS / f"{runbook}.md").read_text().partition("## Check")[2].partition("## When not to")[0]
    # Runbooks never wrap a line within code.
    found = [line.strip() for code in _CODE.finditer(text) for line in (code[1] or code[2]).splitlines()]
    known = [re.sub(r"\bENV\b", environment, re.sub(r"\bSERVICE\b", service, line)) for line in found]
    ours = [line.removeprefix("./") for line in known if re.match(r"(\./)?(infra|aws) ", line)]
    return [line for line in ours if not _DECIDED.search(re.sub(r"'[^']*'", "", line))]


def carry_out(
    place: GameDayPlace, service: str, runbook: str, variables: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yields (command, output). `variables` are those of a shell that reaches the account. Raises `RunbookFailed`."""
    for line in commands(runbook, environment=place.name, service=service):
        whole = _LOOKED_UP.sub(lambda match: _infra(match["command"], variables).strip(), line)
        tool, *words = shlex.split(whole)
        yield line, _infra(whole.partition(" ")[2], variables) if tool == "infra" else _aws(place.clients, words)


def _infra(line: str, variables: Mapping[str, str]) -> str:
    """Runs `infra` in this process: starting another one takes a second and a half."""
    from typer.testing import CliRunner

    from ops.__main__ import app

    done = CliRunner().invoke(app, shlex.split(line), env=dict(variables))
    # Exit code 3: the command found something.
    if done.exit_code not in (0, 3):
        raise RunbookFailed(f"infra {line}: exit code {done.exit_code}: {done.output} {done.exception!r}")
    return done.output


def _aws(clients: Clients, words: list[str]) -> str:
    """Runs an `aws` command: turns its options into a request as the AWS CLI does."""
    # A dependency of botocore; it has no type hints.
    import jmespath  # type: ignore[import-untyped]
    from botocore import xform_name

    service, operation, *options = words
    client = clients.client({"s3api": "s3"}.get(service, service))
    names = {xform_name(each, "-"): each for each in client.meta.service_model.operation_names}
    if operation not in names:
        raise RunbookFailed(f"aws {service} {operation}: there is no such operation")
    members = client.meta.service_model.operation_model(names[operation]).input_shape.members
    known = {xform_name(name, "-"): (name, shape) for name, shape in members.items()}
    request: dict[str, Any] = {}
    query = "@"
    while options:
        option = options.pop(0).removeprefix("--")
        values = []
        while options and not options[0].startswith("--"):
            values.append(options.pop(0))
        if option == "query":
            (query,) = values
        elif option not in known:
            raise RunbookFailed(f"aws {service} {operation}: there is no option --{option}")
        else:
            name, shape = known[option]
            request[name] = _value(shape.type_name, values)
    try:
        answer = getattr(client, xform_name(names[operation]))(**request)
    except ClientError as error:
        # As the CLI prints it. The engineer is meant to see throttling and errors of AWS itself: they are the outage.
        if not (_is_throttled(error) or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500):
            raise RunbookFailed(f"aws {service} {operation}: {error}") from None
        return str(error)
    return json.dumps(jmespath.search(query, answer), default=str, indent=2)


def _is_throttled(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in ("SlowDown", "Throttling", "ThrottlingException")


def _value(kind: str, values: list[str]) -> Any:
    match kind:
        case "list":
            return values
        case "integer":
            return int(values[0])
        case "boolean":
            return True
        case "map" | "structure":
            return json.loads(values[0])
    return values[0]
