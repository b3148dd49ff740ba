"""Checks of releases and rollbacks under traffic: users must notice nothing."""

import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from config import services
from infra_runtime.contract.releases import PLATFORMS
from infra_runtime.release.preflight import deployments, stack_of
from infra_runtime.release.rollback import choose
from ops.console import Console
from ops.errors import OperatorError
from ops.releases import commands
from ops.releases.status import service_status
from ops.releases.target import ReleaseTarget
from rehearsal.account import Account
from rehearsal.checks.assertions import not_on_this_plan, require, wait_until
from rehearsal.pipeline import RELEASE, Pipeline
from rehearsal.product import FIRST, LONE
from rehearsal.push import push
from rehearsal.traffic import UserTraffic, traffic

_REPORTED_SECONDS = 30.0
_BAKES_WITHIN_SECONDS = 120.0
_REPLACED_SECONDS, _POLL_SECONDS = 60.0, 0.2
_beginning = threading.Lock()
SECOND = "alter table visitors add email text"


def place_of(account: Account, service: str | None = None) -> ReleaseTarget:
    name = service or account.main
    return ReleaseTarget(
        account.name, account.environment, name, account, sleep=lambda seconds: time.sleep(seconds / 10)
    )


def release(account: Account, image: str, service: str | None = None) -> str:
    """Runs `infra release` as the service's workflow does. Raises `OperatorError`, with the output so far."""
    name = service or account.main
    printed, place = io.StringIO(), place_of(Pipeline(account).runs(RELEASE, name), name)
    try:
        commands.release(place, image, Console(file=printed, width=200), note=None, check_only=False)
    except OperatorError as error:
        error.add_note(printed.getvalue())
        raise
    return printed.getvalue()


def first_release(account: Account) -> str:
    """Makes sure that the main service was released once. Returns the running image."""
    place = place_of(account)
    with _beginning:
        if place.image() == account.environment.bootstrap_image:
            release(account, push(account, account.main, "first"))
    return place.image()


def without_a_lost_request(account: Account) -> str:
    before, runtime = first_release(account), traffic(account).ask("/")["runtime"]
    after = push(account, account.main, "second", (FIRST, SECOND), bun=_runs_on_bun(account))
    with traffic(account).flowing() as users:
        output = release(account, after)
    require("succeeded" in output, output)
    require(not users.failures, f"{len(users.failures)} requests failed: {users.failures[:3]}")
    require(set(users.versions) == {before, after}, f"versions seen: {len(users.versions)}")
    other = users.ask("/")["runtime"]
    moved = f", from {runtime} to {other}" if other != runtime else ""
    return f"{users.requests} requests while it happened, none lost; {_tasks(account)}{moved}"


def _runs_on_bun(account: Account) -> bool:
    """Whether the file's commands work in the image oven/bun, where `node` is Bun and `npx` is missing."""
    migrations = account.environment.services[account.main].migrations
    return migrations is None or migrations.command[0] in ("node", "bun")


def any_image(account: Account) -> str:
    name = _other(account)
    own = account.environment.services[name].architecture
    (other,) = PLATFORMS.keys() - {own}
    wrong = push(account, name, f"lone-{other}", program=LONE, architecture=other)
    try:
        output = _release_of_another(account, wrong, name)
    except OperatorError as error:
        output = "\n".join([str(error), *error.__notes__])
    require(f"is for {PLATFORMS[other]}; {name} runs on {PLATFORMS[own]}" in output, output)
    output = _release_of_another(account, push(account, name, "lone", program=LONE), name)
    require("succeeded" in output, output)
    migrated = account.environment.services[name].migrations is not None
    require(("pages: migrated" in output) == migrated, output)
    which = f"{', migrated by itself' if migrated else ''}; one for another platform was refused"
    return f"one of a single program, without shell, Node.js or curl{which}"


def crashing_alone(account: Account) -> str:
    name = _other(account)
    first_release(account)
    before = place_of(account, name).image()
    with traffic(account).flowing() as users:
        try:
            output = _release_of_another(account, push(account, name, "crashing", program=LONE, fault=_crashes), name)
        except OperatorError as error:
            output = "\n".join([str(error), *error.__notes__])
        else:
            require(False, f"it was released: {output}")
    require("exit code 7" in output and "no such thing" in output, f"the reason is missing: {output}")
    require(place_of(account, name).image() == before, f"the parameter of {name} still says the failed image")
    require(not users.failures, f"{len(users.failures)} requests failed: {users.failures[:3]}")
    return f"{name} crashed and went back; {account.main} answered {users.requests} requests, none lost"


def _release_of_another(account: Account, image: str, name: str) -> str:
    """As `release`. Does what a refusal says: waits until tasks are replaced that read a login which a check in
    parallel rotates.
    """
    give_up = time.monotonic() + _REPLACED_SECONDS
    while True:
        try:
            return release(account, image, name)
        except OperatorError as error:
            if "→ wait for it" not in str(error) or time.monotonic() > give_up:
                raise
        time.sleep(_POLL_SECONDS)


def _other(account: Account) -> str:
    """Another service that can run an image with a single program, which is also its migrations command, if any."""
    for name, each in services.previewed(account.environment).items():
        if name != account.main and (each.migrations is None or each.migrations.command[0] == "/server"):
            return name
    return not_on_this_plan("no other service runs on ECS, or only some whose migrations need more than one program")


def _crashes(folder: Path) -> None:
    (folder / "server").write_text('#!/bin/sh\n[ "$1" = migrate ] || { echo no such thing; exit 7; }\n')


def _tasks(account: Account) -> str:
    service = account.service(account.main)
    return f"{service['runningCount']} tasks were replaced behind a real nginx"


def _refused(account: Account, image: str, users: UserTraffic) -> tuple[str, str]:
    """(output, last stage of the deployment) of a release that must fail without a lost request."""
    before = place_of(account).image()
    try:
        answer = release(account, image)
    except OperatorError as error:
        answer = "\n".join([str(error), *error.__notes__])
    else:
        require(False, f"it was released: {answer}")
    require(place_of(account).image() == before, "the parameter still says the failed image")
    require(users.ask("/")["version"] == before, "something else serves")
    ecs = account.client("ecs")
    listed = max(deployments(ecs, account.service(account.main)), key=lambda each: each["createdAt"])
    (newest,) = ecs.describe_service_deployments(serviceDeploymentArns=[listed["serviceDeploymentArn"]])[
        "serviceDeployments"
    ]
    require(newest["status"] == "ROLLBACK_SUCCESSFUL", newest["status"])
    return answer, newest["lifecycleStage"]


def migrations_come_first(account: Account) -> str:
    first_release(account)
    spoiled = push(account, account.main, "spoiled", (FIRST, SECOND, "alter table missing add x int"))
    with traffic(account).flowing() as users:
        refusal, stage = _refused(account, spoiled, users)
    require(stage == "PRE_SCALE_UP", f"it came as far as {stage}")
    require('relation "missing" does not exist' in refusal, f"the reason is missing: {refusal}")
    require(not users.failures, f"{len(users.failures)} requests failed: {users.failures[:3]}")
    return f"on PostgreSQL; a failing one ended the release at {stage}, {users.requests} requests, none lost"


def skipped_migrations_are_named(account: Account) -> str:
    """A migration was generated earlier than the last applied one, on a branch that was merged later."""
    first_release(account)
    late = push(
        account, account.main, "late", (FIRST, SECOND, "alter table visitors add late int"), fault=_born_earlier
    )
    with traffic(account).flowing() as users:
        refusal, stage = _refused(account, late, users)
    require(stage == "PRE_SCALE_UP", f"it came as far as {stage}")
    require("migrations applied successfully" in refusal, f"Drizzle did not skip it: {refusal}")
    require("0002_step" in refusal, f"the migration is not named: {refusal}")
    return "Drizzle called it applied; found in the image's layers and missed in the database"


def _born_earlier(folder: Path) -> None:
    journal = folder / "migrations" / "meta" / "_journal.json"
    document = json.loads(journal.read_text())
    document["entries"][2]["when"] = document["entries"][0]["when"] - 1
    journal.write_text(json.dumps(document))


def back_in_one_command(account: Account) -> str:
    place = place_of(account)
    running, releases = place.image(), place.ledger.releases(account.main)
    _, target = choose(releases, None, running)
    if releases[0].outcome == "failed":
        said = io.StringIO()
        commands.rollback(place, None, Console(file=said, width=200), accept_schema=False, note=None)
        require("went back by itself" in said.getvalue() and place.image() == running, said.getvalue())
    with traffic(account).flowing() as users:
        commands.rollback(place, target.id, Console(file=io.StringIO()), accept_schema=False, note=None)
    require(place.image() != running, "the same image runs")
    require(users.ask("/")["version"] == place.image(), "something else serves")
    require(not users.failures, f"{len(users.failures)} requests failed: {users.failures[:3]}")
    return f"to the digest before; {users.requests} requests, none lost"


def back_during_the_bake(account: Account) -> str:
    """Users are on a bad version that no alarm notices; the old tasks still run."""
    place, before = place_of(account), first_release(account)
    bad = push(account, account.main, "bad", (FIRST, SECOND, "select 'bad'"))
    messages: list[str] = []

    def releasing() -> None:
        try:
            messages.append(release(account, bad))
        except OperatorError as error:
            messages.append(str(error))

    def following() -> None:
        console = Console(file=io.StringIO())
        try:
            commands.follow(place_of(account), console)
        except OperatorError as error:
            messages.append(str(error))

    # Long enough for a slow machine.
    with deploying_with(account, bakeTimeInMinutes=1440), traffic(account).flowing() as users:
        threads = [threading.Thread(target=each, daemon=True) for each in (releasing, following)]
        threads[0].start()
        wait_until(
            lambda: stage_of(place) == "BAKE_TIME", lambda: "the release never baked", seconds=_BAKES_WITHIN_SECONDS
        )
        # Another operator, who follows the release.
        threads[1].start()
        seen = service_status(place).deployment
        require(users.ask("/")["version"] == bad, "users are not on the new version yet")
        require(seen is not None and (seen.from_image, seen.to_image) == (before, bad), f"status says {seen}")
        way = io.StringIO()
        commands.rollback(place, None, Console(file=way), accept_schema=False, note="it looks wrong")
        require("users go back to the old tasks" in way.getvalue(), way.getvalue())
        require(users.ask("/")["version"] == before, "something else serves")
        for each in threads:
            each.join(_REPORTED_SECONDS)
    entry = place.ledger.newest(account.main)
    require(entry is not None and entry.outcome == "failed", f"the ledger says {entry}")
    assert entry is not None
    require("stopped by arn:" in str(entry.reason) and "it looks wrong" in str(entry.reason), f"reason: {entry.reason}")
    require(len(messages) == 2, f"of those who follow it, {len(messages)} saw its end")
    require(all("it looks wrong" in each for each in messages), f"followers got {messages}")
    require(place.image() == before, "the parameter still says the stopped image")
    status = stack_of(account, place.stack)["StackStatus"]
    require(status == "UPDATE_ROLLBACK_COMPLETE", f"the stack is {status}")
    require(not users.failures, f"{len(users.failures)} requests failed: {users.failures[:3]}")
    _pipelines_wait(place, bad)
    return f"stopped at BAKE_TIME, {users.requests} requests, none lost; the ledger says by whom and why"


def _pipelines_wait(place: ReleaseTarget, image: str) -> None:
    """Pipelines wait after a rollback until releases are resumed."""
    asked = {"action": "check", "image": image, "run": "release.yml#1"}

    def refused() -> bool:
        return any(each["check"] == "rollback" for each in place.ask(asked)["problems"])

    require(refused(), "a pipeline would bring the bad version back")
    commands.resume(place, Console(file=io.StringIO()))
    require(not refused(), "pipelines still wait")


def stage_of(place: ReleaseTarget) -> str | None:
    """Lifecycle stage of the deployment that is under way; None when none is."""
    deployment = service_status(place).deployment
    return deployment.stage if deployment is not None and deployment.under_way else None


@contextmanager
def deploying_with(account: Account, **changes: object) -> Iterator[None]:
    """Changes the service's deployment configuration, and puts it back."""
    service, ecs = account.service(account.main), account.client("ecs")
    of = {"cluster": service["clusterArn"], "service": service["serviceArn"]}
    own = service["deploymentConfiguration"]
    ecs.update_service(**of, deploymentConfiguration={**own, **changes})
    try:
        yield
    finally:
        ecs.update_service(**of, deploymentConfiguration=own)


def sentry_knows(account: Account) -> str:
    """Sentry knows the running release by the name that its tasks report errors with."""
    project = account.environment.services[account.main].sentry
    if project is None:
        not_on_this_plan("the environment has no Sentry")
    first_release(account)
    container = account.container(account.service(account.main))
    variables = {each["name"]: each["value"] for each in container["environment"]}
    give_up = time.monotonic() + _REPORTED_SECONDS
    while not _has_release(account, variables["SENTRY_RELEASE"]) and time.monotonic() < give_up:
        time.sleep(0.2)
    deploys = _deploys(account)
    require(deploys, "Sentry got no release")
    newest = deploys[-1]
    require(newest["version"] == variables["SENTRY_RELEASE"], f"{newest['version']} was the last one reported")
    require(newest["environment"] == account.name == variables["SENTRY_ENVIRONMENT"], str(newest))
    require(variables["SENTRY_DSN"] == project.dsn, "errors go elsewhere")
    rates = (variables["SENTRY_TRACES_SAMPLE_RATE"], variables["SENTRY_PROFILE_SESSION_SAMPLE_RATE"])
    wanted = (project.traces_sample_rate, project.profile_session_sample_rate)
    require(tuple(map(float, rates)) == wanted, f"traces and profiles are sampled at {rates}, not {wanted}")
    return f"{len(account.sentry.deploys)} deployments of {len(account.sentry.releases)} releases, as its tasks say"


def _has_release(account: Account, version: str) -> bool:
    """Whether Sentry has the release; the function reports it a moment after it has recorded its end."""
    deploys = _deploys(account)
    return bool(deploys) and deploys[-1]["version"] == version


def _deploys(account: Account) -> list[dict[str, Any]]:
    """Sentry's deploys of the main service, the newest last."""
    return [each for each in account.sentry.deploys if each["version"].startswith(f"{account.main}@")]
