"""The whole way of a release in a deployed account: what goes well, what goes wrong at each stage, and back."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra_runtime.contract.revision import ONE_OFF
from infra_runtime.release.ledger import Release
from infra_runtime.release.preflight import deployments, live_weights, tasks_of
from ops import status
from ops.errors import OperatorError
from ops.releases import commands, one_off
from ops.releases.status import service_status
from ops.releases.target import ReleaseTarget
from rehearsal.account import Account
from rehearsal.checks.assertions import wait_until
from rehearsal.checks.data import connected, connected_as_owner
from rehearsal.checks.releases import SECOND, deploying_with, first_release, place_of, release
from rehearsal.product import FIRST
from rehearsal.push import push
from rehearsal.traffic import UserTraffic, traffic


@pytest.fixture(scope="module")
def place(production: Account) -> ReleaseTarget:
    first_release(production)
    return place_of(production)


def newest_deployment(account: Account) -> dict[str, Any]:
    ecs = account.client("ecs")
    listed = max(deployments(ecs, account.service("Api")), key=lambda each: each["createdAt"])
    arn = listed["serviceDeploymentArn"]
    (found,) = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
    return dict(found)


class Attempt:
    """A release that has to fail, with users all the while."""

    def __init__(self, account: Account) -> None:
        self.account, self.place = account, place_of(account)
        self.before = self.place.image()

    def __call__(self, image: str) -> tuple[str, Release]:
        """(output, the ledger's entry). The old version keeps serving, and users notice nothing."""
        with traffic(self.account).flowing() as users:
            with pytest.raises(OperatorError) as raised:
                release(self.account, image)
            self.served_by_the_old_one(users)
        assert users.failures == []
        assert set(users.versions) <= {self.before, image}
        entry = self.place.ledger.newest("api")
        assert entry is not None
        assert (entry.image, entry.outcome, entry.previous) == (image, "failed", self.before)
        return "\n".join([str(raised.value), *raised.value.__notes__]), entry

    def served_by_the_old_one(self, users: UserTraffic) -> None:
        assert users.ask("/")["version"] == self.before
        assert self.place.image() == self.before, "the next deployment would try it again"
        weights = live_weights(self.account, self.place.described())
        assert sorted(weights.values()) == [0, 100]


@pytest.fixture
def attempt(place: ReleaseTarget, production: Account) -> Attempt:
    return Attempt(production)


def test_a_release_is_followed_from_stage_to_stage(place: ReleaseTarget, production: Account) -> None:
    image = push(production, "api", "followed", (FIRST, SECOND))
    before = place.image()
    with traffic(production).flowing() as users:
        output = release(production, image)
    assert users.failures == []
    assert set(users.versions) == {before, image}
    for expected in ("PRE_SCALE_UP", "migrations applied", "3 of 3 new tasks are healthy", "succeeded"):
        assert expected in output, output
    entry = place.ledger.newest("api")
    assert entry is not None
    assert (entry.kind, entry.image, entry.previous, entry.outcome) == ("release", image, before, "succeeded")
    assert entry.migration["exit"] == 0
    assert entry.breaks == []
    assert newest_deployment(production)["lifecycleStage"] == "CLEAN_UP"
    # Each task that serves now was asked by its own address.
    assert users.ask("/api/health/release") == {"version": image, "checks": {"database": "ok", "redis": "ok"}}


def _edit(old: str, new: str, file: str = "server.mjs") -> Callable[[Path], None]:
    def fault(folder: Path) -> None:
        path = folder / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return fault


def test_tasks_that_do_not_start_end_it_at_scale_up(attempt: Attempt, production: Account) -> None:
    image = push(
        production,
        "api",
        "crashing",
        fault=_edit("export const sql", "throw new Error('no such thing')\nexport const sql"),
    )
    output, entry = attempt(image)
    assert "Error: no such thing" in output, "the last lines of the log say why"
    assert newest_deployment(production)["lifecycleStage"] == "SCALE_UP"
    assert "circuit breaker threshold was exceeded." in str(entry.reason)
    assert "Essential container in task exited, exit code 1" in str(entry.reason)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            _edit("asked.version, process.env.RELEASE", "asked.version, 'another'", "contract.mjs"),
            "version is 'another'",
        ),
        (_edit("redis: await checked(usable())", "redis: 'refused'", "contract.mjs"), "redis is 'refused'"),
        (_edit("/api/health/release", "/api/health/other", "asked.json"), "answers 404"),
    ],
    ids=["another version", "without Redis", "no such path"],
)
def test_a_version_that_cannot_serve_is_never_used(
    fault: Callable[[Path], None], expected: str, attempt: Attempt, production: Account, request: pytest.FixtureRequest
) -> None:
    image = push(production, "api", request.node.callspec.id.replace(" ", "-"), fault=fault)
    output, _ = attempt(image)
    assert expected in output
    assert newest_deployment(production)["lifecycleStage"] == "POST_TEST_TRAFFIC_SHIFT"
    with traffic(production).flowing() as users:
        time.sleep(0.2)
    assert set(users.versions) == {attempt.before}


def test_an_alarm_during_the_bake_sends_it_back(attempt: Attempt, production: Account) -> None:
    cloudwatch = production.client("cloudwatch")
    alarm = production.service("Api")["deploymentConfiguration"]["alarms"]["alarmNames"][0]

    def ring() -> None:
        while newest_deployment(production)["lifecycleStage"] != "BAKE_TIME":
            time.sleep(0.05)
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="too many errors")

    image = push(production, "api", "burning", (FIRST, SECOND, "select 1"))
    ringing = threading.Thread(target=_once_begun(production, ring), daemon=True)
    ringing.start()
    try:
        # A bake that is long enough for the alarm, however slow this machine is.
        with deploying_with(production, bakeTimeInMinutes=1000):
            _, entry = attempt(image)
    finally:
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="over")
    assert alarm in str(entry.reason)
    assert newest_deployment(production)["lifecycleStage"] == "BAKE_TIME"


def _once_begun(account: Account, then: Callable[[], None]) -> Callable[[], None]:
    before = newest_deployment(account)["serviceDeploymentArn"]

    def wait() -> None:
        while newest_deployment(account)["serviceDeploymentArn"] == before:
            time.sleep(0.05)
        then()

    return wait


def test_a_hook_that_crashes_stops_the_release(attempt: Attempt, production: Account) -> None:
    """For example, its role has lost a permission: ECS takes an exception for a failed hook."""
    with _hook_with(production, "POST_TEST_TRAFFIC_SHIFT", PORT="none"):
        _, entry = attempt(push(production, "api", "unasked", (FIRST, SECOND, "select 2")))
    assert "POST_TEST_TRAFFIC_SHIFT" in str(entry.reason)


@contextmanager
def _hook_with(account: Account, stage: str, **changes: str) -> Iterator[None]:
    """Changes variables of the function that ECS calls at this stage."""
    hooks = account.service("Api")["deploymentConfiguration"]["lifecycleHooks"]
    (name,) = [each["hookTargetArn"] for each in hooks if stage in each["lifecycleStages"]]
    functions = account.client("lambda")
    own = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": {**own, **changes}})
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": own})


FAILING: dict[str, Any] = {
    "wrong SQL": ("creat table a (id int)", None, "syntax error"),
    "no such table": ("alter table missing add x int", None, "does not exist"),
    "data that does not fit": ("insert into visitors (name) values (null)", None, "null value"),
    "not allowed": ("create role somebody", None, "permission denied"),
    "a lock that is held": ("alter table visitors add held int", None, "lock timeout"),
    "no migrations in the image": (None, _edit("./migrations", "./nowhere", "drizzle.config.json"), "ended with 1"),
    "no configuration": (None, lambda folder: (folder / "drizzle.config.json").unlink(), "drizzle.config.json"),
    "out of memory": (None, lambda folder: _replace_tool(folder, "kill -9 $$"), "ended with 137"),
    "it says no": (None, lambda folder: _replace_tool(folder, "echo no >&2; exit 3"), "ended with 3"),
}


def _replace_tool(folder: Path, script: str) -> None:
    modules = folder / "node_modules"
    modules.unlink()
    (modules / ".bin").mkdir(parents=True)
    tool = modules / ".bin" / "drizzle-kit"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


@pytest.fixture
def held(production: Account) -> Iterator[None]:
    """A person's long transaction, which has read the table."""
    service = production.service("Api")
    with connected(production, service["taskDefinition"]) as connection, connection.transaction():
        connection.execute("select 1 from visitors limit 1")
        yield


@pytest.mark.parametrize("how", FAILING)
def test_a_migration_that_fails_moves_no_traffic(how: str, attempt: Attempt, production: Account, held: None) -> None:
    statement, fault, value = FAILING[how]
    wanted = (FIRST, SECOND, statement or "select 'nothing'")
    image = push(production, "api", how.replace(" ", "-"), wanted, fault=fault)
    output, entry = attempt(image)
    assert value in output, output
    assert entry.migration["exit"] != 0
    assert entry.breaks == []
    assert newest_deployment(production)["lifecycleStage"] == "PRE_SCALE_UP"


def test_a_migration_that_takes_too_long_is_stopped(attempt: Attempt, production: Account) -> None:
    image = push(production, "api", "endless", (FIRST, SECOND, "select pg_sleep(60)"))
    with _hook_with(production, "PRE_SCALE_UP", MINUTES="0"):
        output, entry = attempt(image)
    assert entry.migration["exit"] == 124
    assert "the command took too long" in output
    assert newest_deployment(production)["lifecycleStage"] == "PRE_SCALE_UP"


def test_an_invalid_index_is_reported_with_its_repair(attempt: Attempt, production: Account) -> None:
    """`create index concurrently` is run by no migration of drizzle: those are transactions."""

    statements = ("insert into visitors (name) values ('twice'), ('twice')",
                  "create unique index concurrently twice on visitors ((name = 'twice'))")  # fmt: skip
    script = " && ".join(f'psql -qc "{each}"' for each in statements)
    image = push(
        production, "api", "half-an-index", (FIRST, SECOND), fault=lambda folder: _replace_tool(folder, script)
    )
    repair = "drop index concurrently public.twice;"
    output, entry = attempt(image)
    assert repair in output
    assert entry.repairs == [repair]
    shown = service_status(attempt.place).release
    assert shown is not None
    assert shown.repairs == [repair]
    with connected_as_owner(production) as owner:
        owner.execute(repair)


def test_a_release_with_an_obstacle_does_not_begin(place: ReleaseTarget, production: Account) -> None:
    cloudwatch = production.client("cloudwatch")
    good = push(production, "api", "good", (FIRST, SECOND, "select 3"))
    alarm = production.service("Api")["deploymentConfiguration"]["alarms"]["alarmNames"][1]
    refused = {
        push(production, "api", "holes", (FIRST, SECOND, "select 4"), critical=2): "2 critical vulnerabilities",
        push(production, "api", "unscanned", (FIRST, SECOND, "select 5"), scan="IN_PROGRESS"): "is IN_PROGRESS",
        push(production, "frontend", "the-site"): "is not one of api",
        good.partition("@")[0] + ":latest": "is not one of api",
        good[:-8] + "00000000": "is not in",
        place.image(): "runs already",
    }
    before = len(place.ledger.releases("api"))
    for image, text in refused.items():
        with pytest.raises(OperatorError, match="not begun, nothing was changed") as error:
            release(production, image)
        assert text in str(error.value)
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="slow")
    try:
        with pytest.raises(OperatorError, match="fires, so it would roll nothing back"):
            release(production, good)
    finally:
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="over")
    assert len(place.ledger.releases("api")) == before


def test_back_to_the_digest_before_and_not_past_the_schema(
    place: ReleaseTarget, production: Account, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ops.console import Console

    added = (FIRST, SECOND, "alter table visitors add phone text")
    first, second = (push(production, "api", name, added) for name in ("with-phone", "with-phone-too"))
    monkeypatch.setenv("GITHUB_WORKFLOW_REF", "daadaar/backend/.github/workflows/release.yml@refs/heads/main")
    for number, image in enumerate((first, second), 8):
        monkeypatch.setenv("GITHUB_RUN_NUMBER", str(number))
        release(production, image)
    monkeypatch.setenv("GITHUB_RUN_NUMBER", "8")
    with pytest.raises(OperatorError, match=r"release\.yml#8 is older than #9, .* → infra rollback ENV goes back"):
        release(production, push(production, "api", "built-late", added))
    monkeypatch.undo()
    with pytest.raises(OperatorError, match=r"has released it before .* → infra rollback ENV r"):
        release(production, first)
    commands.rollback(place, None, Console(), accept_schema=False, note=None)
    assert "not undone: schema and data of the database" in capsys.readouterr().out
    assert place.image() == first
    entry = place.ledger.newest("api")
    assert entry is not None
    assert (entry.kind, entry.outcome, entry.previous) == ("rollback", "succeeded", second)
    release(production, push(production, "api", "without-phone", (*added, "alter table visitors drop phone")))
    with pytest.raises(OperatorError, match=r"gone: column public\.visitors\.phone of type text"):
        commands.rollback(place, None, Console(), accept_schema=False, note=None)
    commands.rollback(place, None, Console(), accept_schema=True, note="nobody reads it")
    assert place.image() == first


def test_the_ledger_is_for_people_and_programs(place: ReleaseTarget, capsys: Any) -> None:
    from ops.console import Console

    commands.show(place, Console(), as_json=True)
    releases = json.loads(capsys.readouterr().out)
    assert releases == sorted(releases, key=lambda each: each["id"], reverse=True)
    assert {each["outcome"] for each in releases} == {"succeeded", "failed"}
    assert all(each["who"] and each["template"] and each["ended"] for each in releases)
    found = status.environment_status(place.name, place.environment, place.clients, services=[place.service])
    status.show(place.name, found, Console(), as_json=True)
    printed = json.loads(capsys.readouterr().out)["services"]["api"]
    assert (printed["image"], printed["tasks"]) == (place.image(), {"running": 3, "desired": 3})
    assert sorted(printed["traffic"].values()) == [0, 100]
    assert (printed["deployment"]["to_image"], printed["deployment"]["under_way"]) == (place.image(), False)


def test_one_command_in_a_task_of_its_own(place: ReleaseTarget, capsys: Any) -> None:
    """It has the application's login, variables and role, and returns output and exit code."""
    from ops.console import Console

    script = (
        "const { PutObjectCommand, S3Client } = require('@aws-sdk/client-s3');"
        "const media = { Bucket: process.env.MEDIA_BUCKET, Key: 'once', Body: 'a' };"
        "const { Client } = require('pg'); const c = new Client(); c.connect()"
        ".then(() => new S3Client({}).send(new PutObjectCommand(media)))"
        ".then(() => c.query('select current_user as who'))"
        ".then((found) => console.log(found.rows[0].who, process.env.SITE_URL)).then(() => process.exit(7))"
    )
    assert one_off.run(place, ["node", "-e", script], Console(width=200)) == 7
    assert re.search(r"app_user_[ab] https://daadaar\.com", capsys.readouterr().out)
    with pytest.raises(OperatorError, match=r"missing on this machine: .*session-manager-plugin"):
        one_off.shell(place, "sh", Console())


def test_a_task_that_cannot_start_says_why(place: ReleaseTarget, production: Account) -> None:
    from ops.console import Console

    ecs = production.client("ecs")
    definition = next(
        each
        for each in production.resources("Api", "AWS::ECS::TaskDefinition")
        if ecs.describe_task_definition(taskDefinition=each)["taskDefinition"]["containerDefinitions"][0]["name"]
        == ONE_OFF
    )
    image = ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]["containerDefinitions"][0][
        "image"
    ]
    folder = production.emulator.images / image.partition("@sha256:")[2]
    folder.rename(folder.with_suffix(".away"))
    try:
        with pytest.raises(OperatorError, match="CannotPullContainerError"):
            one_off.run(place, ["true"], Console())
    finally:
        folder.with_suffix(".away").rename(folder)


def test_a_health_path_that_running_tasks_do_not_answer_costs_them_and_requests(
    place: ReleaseTarget, production: Account
) -> None:
    """This is why a deployment first requests the path from running tasks (infra_runtime.health_path)."""
    balancer, ecs = production.client("elbv2"), production.client("ecs")
    (group,) = (arn for arn, weight in live_weights(production, place.described()).items() if weight)
    (was,) = (
        each["HealthCheckPath"] for each in balancer.describe_target_groups(TargetGroupArns=[group])["TargetGroups"]
    )

    def tasks() -> set[str]:
        return {each["taskArn"] for each in tasks_of(ecs, place.described(), desiredStatus="RUNNING")}

    before = tasks()
    with traffic(production).flowing() as users:
        balancer.modify_target_group(TargetGroupArn=group, HealthCheckPath="/nobody-answers-this")
        try:
            wait_until(lambda: not before & tasks(), lambda: f"{before} serve on", seconds=60.0)
        finally:
            balancer.modify_target_group(TargetGroupArn=group, HealthCheckPath=was)
            wait_until(lambda: len(tasks()) == len(before), lambda: f"{tasks()}", seconds=60.0)
    assert users.failures, f"none of {users.requests} requests was lost"
    with traffic(production).flowing() as users:
        time.sleep(1.0)
    assert users.failures == [], "the former path is answered"
