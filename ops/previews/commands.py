"""`infra preview list`, `take`, `start` and `end`."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from config import services, variables
from config.model import Environment
from infra_runtime.contract.names import stack_name
from infra_runtime.previews.control import BUSY
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.functions import Clients, ask_as_myself, find
from ops.progress import working
from ops.report import print_json

_STYLE = {"runs": "green", "failed": "red", "ending": "dim"}
_UNDER_WAY = {
    "taken": "waiting for its turn",
    "copying": "its database is copied",
    "deploying": "migrations, then tasks",
}
_EVERY_SECONDS = 2.0
_TIMEOUT_SECONDS = 1800.0


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A preview in the JSON output. Times are ISO 8601 in UTC."""

    slot: int
    name: str
    """The branch."""
    state: str
    """taken, copying, deploying, runs, failed or ending."""
    until: str
    who: str
    """ARN of the caller who took it."""
    urls: Mapping[str, str]
    """URLs by service."""
    images: Mapping[str, str]
    """Pushed images by service."""
    reason: str | None
    """Why it failed."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Preview":
        """Reads the control function's answer."""
        found: dict[str, Any] = {each: answer.get(each) for each in cls.__dataclass_fields__}
        return cls(**found)


@dataclass(frozen=True, kw_only=True)
class TakenPreview(Preview):
    build_args: Mapping[str, list[str]]
    """NAME=VALUE of each build argument, by site."""


@dataclass(frozen=True)
class PreviewSlots:
    """Those of one environment. Raises `InputError` where the environment has none."""

    name: str
    environment: Environment
    clients: Clients
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if self.environment.previews is None:
            raise InputError(f"ENV {self.name!r}: expected an environment with the table [previews]")

    def ask(self, action: str, **more: Any) -> dict[str, Any]:
        """What the control answers. Raises `OperatorError` when it fails; its refusals are in the answer."""
        stack = stack_name(self.environment.product, self.name, "delivery")
        function = find(self.clients, stack, "previews.control", {}, what="control of previews")
        answer: dict[str, Any] = ask_as_myself(
            self.clients, function, {"action": action, **more}, what=f"{stack}: the control of previews"
        )
        return answer

    def all(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("list")["previews"]
        return found

    def one(self, name: str) -> dict[str, Any] | None:
        return next((each for each in self.all() if each["name"] == name), None)


def show(previews: PreviewSlots, console: Console, *, as_json: bool) -> None:
    found = previews.all()
    if as_json:
        print_json([Preview.of(each) for each in found])
        return
    table = Table(title=f"Previews in {previews.name}", title_justify="left")
    for heading in ("slot", "preview", "", "until", "by", "where"):
        table.add_column(heading, overflow="fold")
    for each in found:
        state = Text(each["state"], _STYLE.get(each["state"], "cyan"))
        until = each["until"].removesuffix("+00:00").replace("T", " ")
        table.add_row(str(each["slot"]), each["name"], state, until, each["who"], "\n".join(each["urls"].values()))
    console.print(table)


def take(previews: PreviewSlots, name: str, console: Console, *, as_json: bool) -> None:
    """A slot for it, and where it will be found: a build of the site has to know. Raises `OperatorError`."""
    answer = previews.ask("take", name=name)
    _refuse(answer["problems"])
    taken = answer["preview"]
    if as_json:
        arguments = build_arguments(previews.name, previews.environment, taken["slot"])
        print_json(TakenPreview(**vars(Preview.of(taken)), build_args=arguments))
    else:
        _print(taken, console)


def build_arguments(name: str, environment: Environment, slot: int) -> dict[str, list[str]]:
    """NAME=VALUE of each variable of a site in the slot, by site: Next.js puts them into the browser's code."""
    return {
        site: [f"{key}={value}" for key, value in variables.resolved(environment, name, site, slot=slot).items()]
        for site in services.sites(environment)
        if site in services.previewed(environment)
    }


def start(previews: PreviewSlots, name: str, service: str, image: str, console: Console, *, as_json: bool) -> None:
    """Returns when it runs. Raises `OperatorError` when it may not begin, and when it fails."""
    give_up = time.monotonic() + _TIMEOUT_SECONDS
    asked = {"name": name, "service": service, "image": image}
    while True:
        answer = previews.ask("start", **asked)
        # The push before this one is still under way.
        if not any(each["check"] == BUSY for each in answer["problems"]) or time.monotonic() > give_up:
            break
        previews.sleep(_EVERY_SECONDS)
    _refuse(answer["problems"])
    found = _followed(previews, name, console, give_up, quiet=as_json)
    if as_json:
        print_json(Preview.of(found))
    else:
        _print(found, console)


def end(previews: PreviewSlots, name: str, console: Console, *, wait: bool) -> None:
    """Raises `OperatorError` when there is no such preview."""
    answer = previews.ask("end", name=name)
    _refuse(answer["problems"])
    with working(f"ending the preview {name}"):
        while wait and previews.one(name) is not None:
            previews.sleep(_EVERY_SECONDS)
            # Without waiting for the schedule.
            previews.ask("tend")
    console.print(f"{name} has ended" if wait else f"{name} ends", highlight=False)


def _followed(previews: PreviewSlots, name: str, console: Console, give_up: float, *, quiet: bool) -> Mapping[str, Any]:
    last = None
    while True:
        found = previews.one(name)
        if found is None or found["state"] == "ending":
            raise OperatorError(f"{name} was ended while it began")
        if found["state"] != last and not quiet:
            progress = _UNDER_WAY.get(found["state"], "")
            console.print(f"  {datetime.now(UTC):%H:%M:%S}  {found['state']}: {progress}".rstrip(": "), highlight=False)
        last = found["state"]
        if last == "failed":
            lines = [*(f"  | {each}" for each in found["lines"]), *(f"  {each}" for each in found["complaints"])]
            raise OperatorError("\n".join([f"{name} failed: {found['reason']}", *lines]))
        if last == "runs":
            return found
        if time.monotonic() > give_up:
            raise OperatorError(f"{name} is still {last}; infra preview list {previews.name} shows when that changes")
        previews.sleep(_EVERY_SECONDS)


def _print(found: Mapping[str, Any], console: Console) -> None:
    console.print(f"{found['name']}: slot {found['slot']}, until {found['until']}", highlight=False)
    for service, url in found["urls"].items():
        console.print(f"  {service}: {url}", highlight=False)


def _refuse(problems: list[dict[str, Any]]) -> None:
    if problems:
        lines = "\n".join(f"  {each['check']}: {each['what']} → {each['todo']}" for each in problems)
        raise OperatorError(f"nothing was changed:\n{lines}")
