"""`infra release`, `releases`, `rollback` and `follow`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from infra_runtime.release.ledger import Release
from ops.console import Console
from ops.errors import OperatorError
from ops.functions import run
from ops.releases.follow import Follower
from ops.releases.place import Place
from ops.releases.text import by, moment, short

_STYLE = {"succeeded": "green", "failed": "red", "running": "cyan"}


def release(place: Place, image: str, console: Console, *, note: str | None, check_only: bool) -> None:
    """Raises `OperatorError` when it may not begin, and when it fails."""
    event = {"image": image, "note": note, "run": run()}
    if check_only:
        _refuse(place.ask({"action": "check", **event})["problems"])
        console.print("Nothing stands against it.")
        return
    answer = place.ask({"action": "release", **event})
    _refuse(answer["problems"])
    _succeed(place, answer["id"], console)


def rollback(place: Place, wanted: str | None, console: Console, *, accept_schema: bool, note: str | None) -> None:
    """Ends a release that is under way; otherwise to the release before the one that runs, or to `wanted`.

    Raises `OperatorError`.
    """
    answer = place.ask({"action": "rollback", "release": wanted, "accept_schema": accept_schema, "note": note})
    _refuse(answer["problems"])
    if "stopped" in answer:
        console.print(f"ECS goes back to the tasks that ran before: {answer['stopped']}", highlight=False)
        console.print("  not undone: migrations that have run", highlight=False)
        if answer["id"] is None:
            console.print("  it was no release; to go back to the release before, say it again", highlight=False)
            return
        ended = _followed(place, answer["id"], console)
        # A release that was over before ECS could stop it has succeeded.
        if ended.outcome != "failed":
            raise OperatorError(f"{ended.id} {ended.outcome}, as it could not be stopped any more: say it again")
        console.print(f"{ended.id} was stopped; {short(ended.previous)} serves", highlight=False)
        return
    console.print(f"Back from {answer['back_from']} to {answer['back_to']}", highlight=False)
    console.print("  undone: the code of the service", highlight=False)
    console.print(
        "  not undone: schema and data of the database, Redis, media, Cloudflare, the settings in the stack's template"
        + (", which has changed since" if answer["template_changed"] else ""),
        highlight=False,
    )
    _succeed(place, answer["id"], console)


def follow(place: Place, console: Console) -> None:
    """The newest release, to its end. Raises `OperatorError` when it fails, or when there is none."""
    release = place.ledger.newest(place.service)
    if release is None:
        raise OperatorError(f"{place.service} was never released in {place.name}")
    if release.outcome != "running":
        console.print(f"{release.id} has ended: {release.ended}", highlight=False)
    _succeed(place, release.id, console)


def under_way(places: Sequence[Place]) -> list[Place]:
    """Those with a release that has not ended."""
    return [each for each in places if each.ledger.running(each.service) is not None]


def _succeed(place: Place, identity: str, console: Console) -> None:
    """Follows it. Raises `OperatorError` when it fails."""
    ended = _followed(place, identity, console)
    if ended.outcome == "running":
        raise OperatorError(
            f"{ended.id}: its stack is at rest, and its end is not recorded: infra releases {place.name}"
        )
    if ended.outcome != "succeeded":
        raise OperatorError(f"{ended.id} {ended.outcome}: {ended.reason}\n{short(ended.previous)} serves")
    for each in ended.breaks:
        console.print(f"  the schema has left the version before behind: {each}", highlight=False)
    if unchecked := ended.migration.get("unchecked"):
        console.print(f"  not checked for skipped migrations: {unchecked}", highlight=False)
    for each in ended.repairs:
        console.print(f"  an index is INVALID and unused; as the owner: {each}", highlight=False)
    console.print(f"{ended.id} succeeded", highlight=False)


def _followed(place: Place, identity: str, console: Console) -> Release:
    """Until it is over."""
    begun = place.ledger.find(place.service, identity)
    assert begun is not None, "what the control has answered is in the ledger"  # noqa: S101
    if begun.outcome != "running":
        return begun
    console.print(f"{begun.id}: {place.name}, {place.service}, {short(begun.image)}", highlight=False)
    try:
        return Follower(place, begun, console).follow(sleep=place.sleep)
    except KeyboardInterrupt:
        follow, back = (
            f"infra follow {place.name} {place.service}",
            f"infra rollback {place.name} --service {place.service}",
        )
        raise OperatorError(f"no longer followed, and not stopped; again: {follow}; to stop it: {back}") from None


def _refuse(problems: Sequence[dict[str, Any]]) -> None:
    if problems:
        lines = "\n".join(f"  {each['check']}: {each['what']} → {each['todo']}" for each in problems)
        raise OperatorError(f"not begun, nothing was changed:\n{lines}")


def show(place: Place, console: Console, *, as_json: bool) -> None:
    """The ledger, the newest first."""
    releases = place.ledger.releases(place.service)
    if as_json:
        print(json.dumps([asdict(each) for each in releases], indent=2))  # noqa: T201
        return
    table = Table(title=f"Releases of {place.service} in {place.name}", title_justify="left")
    for heading in ("release", "image", "", "began", "by", "schema", "why"):
        table.add_column(heading, overflow="fold")
    running = place.image()
    for each in releases:
        outcome = Text(each.outcome, _STYLE[each.outcome])
        table.add_row(
            each.id + (" ←" if each.kind == "rollback" else ""),
            short(each.image) + (" (runs)" if each.image == running else ""),
            outcome,
            moment(each.began),
            by(each.who),
            str(each.migration.get("after", "")),
            each.reason or "; ".join(each.breaks) or each.note or "",
        )
    console.print(table)
