"""`infra release`, `releases`, `rollback` and `status`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from infra_runtime.release.ledger import Release
from ops.console import Console
from ops.errors import OperatorError
from ops.functions import run
from ops.releases.follow import Follower
from ops.releases.look import place_status
from ops.releases.place import Place

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
        console.print(f"{ended.id} was stopped; {_short(ended.previous)} serves", highlight=False)
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
    """The release that is under way, to its end. Raises `OperatorError` when it fails, or when there is none."""
    release = place.ledger.running(place.service)
    if release is None:
        raise OperatorError(f"no release of {place.service} is under way; the last ones: infra releases {place.name}")
    _succeed(place, release.id, console)


def _succeed(place: Place, identity: str, console: Console) -> None:
    """Follows it. Raises `OperatorError` when it fails."""
    ended = _followed(place, identity, console)
    if ended.outcome == "running":
        raise OperatorError(
            f"{ended.id}: its stack is at rest, and its end is not recorded: infra releases {place.name}"
        )
    if ended.outcome != "succeeded":
        raise OperatorError(f"{ended.id} {ended.outcome}: {ended.reason}; {_short(ended.previous)} serves on")
    for each in ended.breaks:
        console.print(f"  the schema has left the version before behind: {each}", highlight=False)
    if unchecked := ended.migration.get("unchecked"):
        console.print(f"  not checked for skipped migrations: {unchecked}", highlight=False)
    for each in ended.repairs:
        console.print(f"  an index is INVALID and unused; as the owner: {each}", highlight=False)
    console.print(f"{ended.id} succeeded", highlight=False)


def _followed(place: Place, identity: str, console: Console) -> Release:
    """Until it is over; says why, when it failed without anybody's wish."""
    begun = place.ledger.find(place.service, identity)
    assert begun is not None, "what the control has answered is in the ledger"  # noqa: S101
    console.print(f"{begun.id}: {place.name}, {place.service}, {_short(begun.image)}", highlight=False)
    follower = Follower(place, begun, console)
    try:
        ended = follower.follow(sleep=place.sleep)
    except KeyboardInterrupt:
        again = f"{place.name} --service {place.service}"
        raise OperatorError(
            f"no longer followed, and not stopped: infra status {again} --follow; to stop it: infra rollback {again}"
        ) from None
    if ended.outcome != "succeeded" and ended.stopped is None:
        for line in (*ended.complaints, *follower.reasons()):
            console.print(f"  {line}", highlight=False)
    return ended


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
            _short(each.image) + (" (runs)" if each.image == running else ""),
            outcome,
            each.began.removesuffix("+00:00").replace("T", " "),
            _by(each.who),
            str(each.migration.get("after", "")),
            each.reason or "; ".join(each.breaks) or each.note or "",
        )
    console.print(table)


def status(place: Place, console: Console, *, as_json: bool) -> None:
    """What runs, what moves and since when, and which alarms ring."""
    found = place_status(place)
    if as_json:
        print(json.dumps(found, indent=2))  # noqa: T201
        return
    deployment, release = found["deployment"], found["release"]
    rows = {
        "image": _short(found["image"]),
        "tasks": f"{found['tasks']['running']} of {found['tasks']['desired']}",
        "stack": found["stack"],
        "deployment": _told(deployment) if deployment else "none yet",
        "release": f"{release['id']} {release['outcome']} by {_by(release['who'])}" if release else "none yet",
        "traffic": ", ".join(f"{name} {weight}" for name, weight in found["traffic"].items()),
        "alarms": ", ".join(f"{name} {state}" for name, state in found["alarms"].items()),
    }
    if release and release["waiting"]:
        rows["waits for"] = release["waiting"]
    if release and release["repairs"]:
        rows["INVALID indexes"] = " ".join(release["repairs"])
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for key, value in rows.items():
        table.add_row(key, value)
    console.print(f"{place.service} in {place.name}", table, sep="\n", highlight=False)
    if deployment and deployment["under_way"]:
        again = f"{place.name} --service {place.service}"
        console.print(
            f"to follow it: infra status {again} --follow; to go back: infra rollback {again}", highlight=False
        )


def _told(deployment: Mapping[str, Any]) -> str:
    text = f"{deployment['status']} {deployment['stage'] or ''}, {deployment['minutes']} minutes old"
    if deployment["under_way"]:
        text += f", from {_short(deployment['from_image'] or 'nothing')} to {_short(deployment['to_image'])}"
    return f"{text}, {deployment['arn']}"


def _by(who: str) -> str:
    """The name of the session, and for whom it says that it acts."""
    arn, _, claimed = who.partition(" for ")
    return f"{arn.rpartition('/')[2]} for {claimed}" if claimed else arn.rpartition("/")[2]


def _short(image: str) -> str:
    name, _, digest = image.partition("@sha256:")
    return f"{name.rpartition('/')[2]}@{digest[:12]}" if digest else image
