"""`infra release`, `releases`, `rollback` and `status`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from infra_runtime.release.ledger import Release
from infra_runtime.release.preflight import live_weights, release_alarms, stack_of
from ops.errors import InputError, OperatorError
from ops.releases.follow import Follower
from ops.releases.place import Place, who

_STYLE = {"succeeded": "green", "failed": "red", "running": "cyan"}


def release(place: Place, image: str, console: Console, *, note: str | None, check_only: bool) -> None:
    """Raises `OperatorError` when it may not begin, and when it fails."""
    if check_only:
        _refuse(place.ask({"action": "check", "image": image})["problems"])
        console.print("Nothing stands against it.")
        return
    _begin(place, image, console, kind="release", note=note)


def rollback(place: Place, wanted: str | None, console: Console, *, accept_schema: bool, note: str | None) -> None:
    """To the release before the one that runs, or to `wanted`. Raises `OperatorError`, `InputError`."""
    releases = place.ledger.releases(place.service)
    current, target = choose(releases, wanted, place.image())
    lost = lost_since(releases, target)
    console.print(f"Back from {current.id} to {target.id}: {_short(target.image)}", highlight=False)
    console.print("  undone: the code of the service", highlight=False)
    console.print(
        "  not undone: schema and data of the database, Redis, media, Cloudflare, the settings in the stack's template"
        + ("" if current.template == target.template else ", which has changed since"),
        highlight=False,
    )
    if lost and not accept_schema:
        told = "\n".join(f"  {each}" for each in lost)
        raise OperatorError(
            f"the schema has moved past what {target.id} relies on:\n{told}\n"
            "repair it by a migration and release forward, or say --accept-schema when you know that it does not matter"
        )
    _begin(place, target.image, console, kind="rollback", note=note or f"to {target.id}")


def choose(releases: Sequence[Release], wanted: str | None, running: str) -> tuple[Release, Release]:
    """(the one that runs, the one to go back to); `releases` begins with the newest."""
    done = [each for each in releases if each.outcome == "succeeded"]
    current = next((each for each in done if each.image == running), None)
    if current is None:
        raise OperatorError("nothing that runs was released through the ledger, so there is nothing to go back to")
    if wanted is not None:
        target = next((each for each in done if each.id == wanted), None)
        if target is None:
            known = ", ".join(each.id for each in done[:5])
            raise InputError(f"RELEASE {wanted!r}: expected one that succeeded: {known}")
        if target.image == running:
            raise InputError(f"RELEASE {wanted!r}: expected another image than the one that runs")
        return current, target
    earlier = [each for each in done[done.index(current) + 1 :] if each.image != running]
    if not earlier:
        raise OperatorError(f"{current.id} is the first release; there is nothing before it")
    # Back from a rollback is not forward again: to what ran before the release that was rolled back.
    if current.kind == "rollback":
        first = next(each for each in reversed(done) if each.image == running)
        before = [each for each in earlier if each.id < first.id]
        if not before:
            raise OperatorError(f"{first.id} is the first release; there is nothing before it")
        return current, before[0]
    return current, earlier[0]


def lost_since(releases: Sequence[Release], target: Release) -> list[str]:
    """What migrations after the target's own have made impossible, those of failed releases included."""
    first = min(each.id for each in releases if each.image == target.image)
    return [f"{each.id}: {what}" for each in reversed(releases) if each.id > first for what in each.breaks]


def _begin(place: Place, image: str, console: Console, *, kind: str, note: str | None) -> None:
    asked = {"action": "start", "image": image, "kind": kind, "who": who(place.clients), "note": note}
    answer = place.ask(asked)
    _refuse(answer["problems"])
    begun = place.ledger.find(place.service, answer["id"])
    assert begun is not None, "what the control has answered is in the ledger"  # noqa: S101
    console.print(f"{begun.id}: {place.name}, {place.service}, {_short(image)}", highlight=False)
    follower = Follower(place, begun, console)
    try:
        ended = follower.follow()
    except KeyboardInterrupt:
        raise OperatorError(
            f"no longer followed, and not stopped: infra status {place.name} --service {place.service}"
        ) from None
    if ended.outcome != "succeeded":
        for line in (*ended.complaints, *follower.reasons()):
            console.print(f"  {line}", highlight=False, markup=False)
        raise OperatorError(f"{ended.id} {ended.outcome}: {ended.reason}; {_short(ended.previous)} serves on")
    for each in ended.breaks:
        console.print(f"  the schema has left the version before behind: {each}", highlight=False)
    console.print(f"{ended.id} succeeded", highlight=False)


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
        outcome = f"[{_STYLE[each.outcome]}]{each.outcome}[/]"
        table.add_row(
            each.id + (" ←" if each.kind == "rollback" else ""),
            _short(each.image) + (" (runs)" if each.image == running else ""),
            outcome,
            each.began.removesuffix("+00:00").replace("T", " "),
            each.who.rpartition("/")[2] if each.who.startswith("arn:") else each.who,
            str(each.migration.get("after", "")),
            each.reason or "; ".join(each.breaks) or each.note or "",
        )
    console.print(table)


def status(place: Place, console: Console, *, as_json: bool) -> None:
    """What runs, and whether anything moves or rings."""
    service, clients = place.described(), place.clients
    deployments = clients.client("ecs").list_service_deployments(
        cluster=service["clusterArn"], service=service["serviceArn"]
    )["serviceDeployments"]
    newest = place.ledger.newest(place.service)
    found = {
        "image": place.image(),
        "tasks": f"{service['runningCount']} of {service['desiredCount']}",
        "stack": stack_of(clients, place.stack)["StackStatus"],
        "deployment": deployments[0]["status"] if deployments else "none yet",
        "release": f"{newest.id} {newest.outcome}" if newest else "none yet",
        "traffic": ", ".join(
            f"{group.split('/')[-2]} {weight}" for group, weight in live_weights(clients, service).items()
        ),
        "alarms": ", ".join(
            f"{name} {state}" for name, state in release_alarms(clients, service).items() if state is not None
        ),
    }
    if as_json:
        print(json.dumps(found, indent=2))  # noqa: T201
        return
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for key, value in found.items():
        table.add_row(key, value)
    console.print(f"{place.service} in {place.name}", table, sep="\n", highlight=False)


def _short(image: str) -> str:
    name, _, digest = image.partition("@sha256:")
    return f"{name.rpartition('/')[2]}@{digest[:12]}" if digest else image
