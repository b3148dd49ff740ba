"""Parses the URL and checks Redis as the probe does, from this machine or from inside the VPC."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table
from rich.text import Text

from config.model import Environment
from infra_runtime.contract.names import stack_name
from infra_runtime.contract.redis_url import InvalidRedisUrl, RedisTarget, from_environment
from infra_runtime.redis import readonly_commands
from infra_runtime.redis.probe import probe
from ops.account import explained, session_of
from ops.console import Console
from ops.errors import FINDINGS, InputError
from ops.redis.probe import ask_probe
from ops.report import print_json

_STYLE = {"ok": "green", "warning": "yellow", "critical": "red"}


@dataclass(frozen=True, kw_only=True)
class RedisReport:
    """One round of the probe. `connected`, `latencyMs` and `error` are the application's `checkRedisConnection()`."""

    connected: bool
    latencyMs: float | None  # noqa: N815
    """Median of the warm pings, milliseconds; of a cluster, that of its slowest primary."""
    error: str | None
    level: str
    """ok, warning or critical, as the alarms see it."""
    reason: str | None
    """One word for `error`."""
    writable: bool | None
    """None when Redis could not be asked."""
    mode: str | None
    """standalone, cluster or sentinel."""
    role: str | None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "RedisReport":
        """Reads the probe's answer."""
        found: dict[str, Any] = {each: document.get(each) for each in cls.__dataclass_fields__}
        return cls(**found)


def url(variables: Mapping[str, str], console: Console, *, as_json: bool) -> None:
    parts = _target(variables).described()
    if as_json:
        print_json(parts)
        return
    console.print("REDIS_URL is read as", _table(parts), sep="\n")


def check_here(variables: Mapping[str, str], console: Console, *, as_json: bool) -> None:
    """Exit code 3 unless Redis can be used and is fast enough."""
    _report(probe(_target(variables)).document(), "from this machine", console, as_json=as_json)


def check_there(name: str, environment: Environment, console: Console, *, instance: str | None, as_json: bool) -> None:
    """Checks with the probe in the account: only the VPC reaches its Redis."""
    asked = instance_of(name, environment, instance)
    document = _invoke(name, environment, asked, {"report": True})
    _report(document, f"{name}, {asked}, from inside its VPC", console, as_json=as_json)


def ask(
    name: str, environment: Environment, words: list[str], console: Console, *, instance: str | None, as_json: bool
) -> None:
    """Prints the reply of each primary. The probe in the VPC asks them."""
    try:
        readonly_commands.check(words)
    except readonly_commands.NotAllowed as error:
        raise InputError(f"{' '.join(words)!r}: {error}") from None
    replies = _invoke(name, environment, instance_of(name, environment, instance), {"ask": words})
    if as_json:
        print_json(replies)
        return
    for node, reply in replies.items():
        console.rule(node, align="left")
        console.print(reply if isinstance(reply, str) else json.dumps(reply, indent=2), highlight=False)


def instance_of(name: str, environment: Environment, chosen: str | None) -> str:
    asked = chosen or environment.redis.serves
    if asked not in environment.redis.instances:
        known = ", ".join(environment.redis.instances)
        raise InputError(f"--instance {asked!r}: expected one of {known}, the instances of {name}")
    return asked


def _invoke(name: str, environment: Environment, instance: str, event: Mapping[str, Any]) -> dict[str, Any]:
    try:
        session = session_of(name, environment)
        return ask_probe(session, stack_name(environment.product, name, "redis"), instance, event)
    except (BotoCoreError, ClientError) as error:
        raise explained(error, name, environment) from None


def _target(variables: Mapping[str, str]) -> RedisTarget:
    try:
        found = from_environment(variables)
    except InvalidRedisUrl as error:
        raise InputError(str(error)) from None
    if found is None:
        raise InputError("REDIS_URL: expected in the environment, as REDIS_URL=redis://localhost:6379; it is not set")
    return found


def _report(document: Mapping[str, Any], where: str, console: Console, *, as_json: bool) -> None:
    if as_json:
        print_json(RedisReport.of(document))
    else:
        level = document["level"]
        shown = {key: str(value) for key, value in document.items() if value is not None and key != "level"}
        console.print(Text.assemble(f"Redis, {where}: ", (level, _STYLE[level])), _table(shown), sep="\n")
        if document["reason"] is not None:
            console.print("What to do: docs/runbooks/redis-connection-failure.md", highlight=False)
    if document["level"] != "ok":
        raise typer.Exit(FINDINGS)


def _table(rows: Mapping[str, str]) -> Table:
    table = Table(show_header=False)
    for key, value in rows.items():
        table.add_row(key, value)
    return table
