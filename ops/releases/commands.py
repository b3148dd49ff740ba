"""`infra release`, `releases`, `rollback` and `follow`."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from infra_runtime.release.ledger import Release
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.functions import run
from ops.progress import working
from ops.releases.follow import Follower
from ops.releases.target import ReleaseTarget
from ops.releases.text import by, moment, short
from ops.report import print_json

_POLL_SECONDS = 2.0
_MOST_POLLS = 300
_USERS_STAY = "ECS ends the deployment; users never left the old tasks"
_USERS_RETURN = "ECS ends the deployment; users go back to the old tasks, which still run"
_OLD_TASKS_START = "ECS ends the deployment, and starts tasks of the version before where they have ended"
# By lifecycle stage (ECS API Reference, DeploymentLifecycleHook). While old tasks run, no way is faster.
_WAYS = {
    **dict.fromkeys(
        (
            "RECONCILE_SERVICE", "PRE_SCALE_UP", "SCALE_UP", "POST_SCALE_UP", "TEST_TRAFFIC_SHIFT",
            "POST_TEST_TRAFFIC_SHIFT", "PRE_PRODUCTION_TRAFFIC_SHIFT",
        ),
        _USERS_STAY,
    ),
    **dict.fromkeys(("PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME"), _USERS_RETURN),
    "CLEAN_UP": _OLD_TASKS_START,
}  # fmt: skip
_STYLE = {"succeeded": "green", "failed": "red", "running": "cyan"}


def release(place: ReleaseTarget, image: str, console: Console, *, note: str | None, check_only: bool) -> None:
    """Raises `OperatorError` when it may not begin, and when it fails."""
    event = {"image": image, "note": note, "run": run()}
    if check_only:
        _refuse(place.ask({"action": "check", **event})["problems"])
        console.print("It may be released.")
        return
    answer = place.ask({"action": "release", **event})
    _refuse(answer["problems"])
    _succeed(place, answer["id"], console)


def rollback(
    place: ReleaseTarget, wanted: str | None, console: Console, *, accept_schema: bool, note: str | None
) -> None:
    """Ends what is under way; otherwise to the release before the one that runs, or to `wanted`.

    Raises `OperatorError`.
    """
    if wanted is not None and place.ledger.find(place.service, wanted) is None:
        listed = f"infra releases {place.name} --service {place.service}"
        raise InputError(f"RELEASE {wanted!r}: expected an id of {listed}")
    event = {"action": "rollback", "release": wanted, "accept_schema": accept_schema, "note": note}
    said_to_wait = False
    for _ in range(_MOST_POLLS):
        answer = place.ask(event)
        _refuse(answer["problems"])
        match answer["path"]:
            case "release":
                _go_back(place, answer, console)
                return
            case "over":
                _is_over(place, answer, console)
                return
            case "wait":
                if not said_to_wait:
                    console.print("ECS is about to begin, or has just ended: waits for it", highlight=False)
                said_to_wait = True
                place.sleep(_POLL_SECONDS)
            case path:
                way = "it goes back already" if path == "going back" else _WAYS.get(answer["stage"], _OLD_TASKS_START)
                console.print(way, _of_migrations(answer), sep="\n", highlight=False)
                if answer["id"] is None:
                    console.print(
                        "  it was no release; to go back to the release before, run the command again", highlight=False
                    )
                    return
                ended = _followed(place, answer["id"], console)
                if ended.kind == "rollback":
                    _succeed(place, ended.id, console)
                    return
                if ended.outcome == "failed":
                    console.print(f"{ended.id} was stopped; {short(ended.previous)} serves", highlight=False)
                    _pipelines_wait(place, console)
                    return
                # It had ended before ECS could stop it: the version before it is released.
    raise OperatorError(f"{place.service} does not come to rest: infra status {place.name} --service {place.service}")


def _of_migrations(answer: Mapping[str, Any]) -> str:
    if answer.get("migration_stopped"):
        return "  its migration is stopped; not undone: what it has committed, which the next release finds"
    return "  not undone: migrations that have run"


def _go_back(place: ReleaseTarget, answer: Mapping[str, Any], console: Console) -> None:
    console.print(
        f"Back from {answer['back_from']} to {answer['back_to']}, by a release: the old tasks have ended",
        "  undone: the code of the service",
        "  not undone: schema and data of the database, Redis, media, Cloudflare, the settings in the stack's template"
        + (", which has changed since" if answer["template_changed"] else ""),
        sep="\n",
        highlight=False,
    )
    _succeed(place, answer["id"], console)
    _pipelines_wait(place, console)


def _is_over(place: ReleaseTarget, answer: Mapping[str, Any], console: Console) -> None:
    console.print(f"{answer['id']} has failed and went back by itself; {short(place.image())} serves", highlight=False)
    if answer["further"] is not None:
        further = f"infra rollback {place.name} {answer['further']} --service {place.service}"
        console.print(f"further back: {further}", highlight=False)


def _pipelines_wait(place: ReleaseTarget, console: Console) -> None:
    resume = f"infra release {place.name} --service {place.service} --resume"
    console.print(f"pipelines release nothing until you resume releases: {resume}", highlight=False)


def resume(place: ReleaseTarget, console: Console) -> None:
    """Lets pipelines release again after a rollback. Raises `OperatorError`."""
    answer = place.ask({"action": "resume", "run": run()})
    _refuse(answer["problems"])
    console.print(f"pipelines may release {place.service} again, after {answer['id']}", highlight=False)


def follow(place: ReleaseTarget, console: Console) -> None:
    """Follows the newest release to its end. Raises `OperatorError` when it fails, or when there is none."""
    release = place.ledger.newest(place.service)
    if release is None:
        raise OperatorError(f"{place.service} was never released in {place.name}")
    if release.outcome != "running":
        console.print(f"{release.id} has ended: {release.ended}", highlight=False)
    _succeed(place, release.id, console)


def under_way(places: Sequence[ReleaseTarget]) -> list[ReleaseTarget]:
    """Those with a release that has not ended."""
    return [each for each in places if each.ledger.running(each.service) is not None]


def _succeed(place: ReleaseTarget, identity: str, console: Console) -> None:
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


def _followed(place: ReleaseTarget, identity: str, console: Console) -> Release:
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


def show(place: ReleaseTarget, console: Console, *, as_json: bool) -> None:
    """The ledger, the newest first."""
    with working(f"reading the ledger of {place.name}"):
        releases, running = place.ledger.releases(place.service), place.image()
    if as_json:
        print_json(releases)
        return
    table = Table(title=f"Releases of {place.service} in {place.name}", title_justify="left")
    for heading in ("release", "image", "", "began", "by", "schema", "why"):
        table.add_column(heading, overflow="fold")
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
