"""`infra rollback` at every stage of a release, typed as a person types it, while users ask without a pause."""

import io
import json
import os
import re
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra_runtime.database.connection import Connection
from infra_runtime.release.preflight import stack_of
from ops.errors import OperatorError
from ops.releases.status import service_status
from ops.releases.target import ReleaseTarget
from rehearsal.account import Account
from rehearsal.checks.assertions import wait_until
from rehearsal.checks.data import connected_as_owner
from rehearsal.checks.releases import SECOND, deploying_with, first_release, place_of, release, stage_of
from rehearsal.product import FIRST
from rehearsal.push import push
from rehearsal.traffic import UserTraffic, traffic

ROOT = Path(__file__).resolve().parents[2]
# Where ECS has hooks (ECS API Reference, DeploymentLifecycleHook), one that answers IN_PROGRESS holds the deployment.
HOOKED = (
    "RECONCILE_SERVICE", "POST_SCALE_UP", "TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT",
)  # fmt: skip
NOT_SEEN, SEEN = "users never left the old tasks", "users go back to the old tasks, which still run"
WAYS = {
    "PRE_SCALE_UP": NOT_SEEN,
    "CLEAN_UP": "starts tasks of the version before",
    "SCALE_UP": NOT_SEEN,
    "BAKE_TIME": SEEN,
    **dict.fromkeys(HOOKED[:-2], NOT_SEEN),
    **dict.fromkeys(HOOKED[-2:], SEEN),
}
# `make soak` tests all stages, CI the two in which most happens.
STAGES = list(WAYS)[: int(os.environ.get("ROLLBACK_STAGES", "2"))]
# Old tasks end at once when users have left them; how long ECS then waits for their connections holds CLEAN_UP.
_LONGEST_DRAIN = {"Key": "deregistration_delay.timeout_seconds", "Value": "3600"}
_COMES_WITHIN_SECONDS = 60.0
_ENDS_WITHIN_SECONDS = 60.0


@dataclass(frozen=True)
class Hold:
    """A lifecycle hook that answers IN_PROGRESS as long as its file is there."""

    file: Path
    function: str
    role: str

    def hook(self, stage: str) -> dict[str, object]:
        return {"hookTargetArn": self.function, "roleArn": self.role, "lifecycleStages": [stage]}


@pytest.fixture(scope="module")
def hold(production: Account, tmp_path_factory: pytest.TempPathFactory) -> Hold:
    file = tmp_path_factory.mktemp("hold") / "hold"
    services = ["ecs.amazonaws.com", "lambda.amazonaws.com"]
    enter = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}
    iam, content = production.client("iam"), io.BytesIO()
    role = iam.create_role(RoleName="hold", AssumeRolePolicyDocument=json.dumps({"Statement": [enter]}))["Role"]["Arn"]
    allow = {"Effect": "Allow", "Action": ["lambda:InvokeFunction", "logs:*"], "Resource": "*"}
    iam.put_role_policy(RoleName="hold", PolicyName="hold", PolicyDocument=json.dumps({"Statement": [allow]}))
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(
            "index.py",
            "import os\n"
            "def handler(event, context):\n"
            f"    return {{'hookStatus': 'IN_PROGRESS' if os.path.exists({str(file)!r}) else 'SUCCEEDED'}}\n",
        )
    function = production.client("lambda").create_function(
        FunctionName="hold",
        Runtime="python3.14",
        Handler="index.handler",
        Role=role,
        Code={"ZipFile": content.getvalue()},
    )["FunctionArn"]
    return Hold(file, function, role)


@contextmanager
def held(account: Account, stage: str, hold: Hold) -> Iterator[None]:
    """A release that begins in this block gets as far as this stage, and stays there while the file is there."""
    hold.file.touch()
    with ExitStack() as stack:
        if stage == "BAKE_TIME":
            stack.enter_context(deploying_with(account, bakeTimeInMinutes=1440))
        elif stage == "CLEAN_UP":
            stack.enter_context(_draining(account))
        elif stage in HOOKED:
            own = account.service("Api")["deploymentConfiguration"]["lifecycleHooks"]
            stack.enter_context(deploying_with(account, lifecycleHooks=[*own, hold.hook(stage)]))
        stack.callback(lambda: hold.file.unlink(missing_ok=True))
        yield


@contextmanager
def _draining(account: Account) -> Iterator[None]:
    elb, balancing = account.client("elbv2"), account.service("Api")["loadBalancers"][0]
    groups = (balancing["targetGroupArn"], balancing["advancedConfiguration"]["alternateTargetGroupArn"])
    before = {group: elb.describe_target_group_attributes(TargetGroupArn=group)["Attributes"] for group in groups}
    for group in groups:
        elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[_LONGEST_DRAIN])
    try:
        yield
    finally:
        for group, attributes in before.items():
            elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=attributes)


def image_for(account: Account, stage: str, hold: Hold) -> str:
    """One that stays in PRE_SCALE_UP or SCALE_UP by itself, if that is the stage."""
    # Alone, so that it holds no lock for which users would wait.
    migrations = (FIRST, "select pg_sleep(900)") if stage == "PRE_SCALE_UP" else (FIRST, SECOND)

    def starts_slowly(folder: Path) -> None:
        path = folder / "server.mjs"
        wait = f"while (existsSync({str(hold.file)!r})) await setTimeout(100)\n"
        text = path.read_text().replace("server.listen(", f"{wait}server.listen(")
        path.write_text(f"import {{ existsSync }} from 'node:fs'\n{text}")

    fault = starts_slowly if stage == "SCALE_UP" else None
    return push(account, "api", f"held-at-{stage.lower().replace('_', '-')}", migrations, fault=fault)


@dataclass
class Releasing:
    """A release that somebody else has begun, and follows."""

    account: Account
    image: str
    output: str = ""

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.output = release(self.account, self.image)
        except OperatorError as error:
            self.output = "\n".join([str(error), *error.__notes__])

    def ended(self) -> str:
        self._thread.join(_ENDS_WITHIN_SECONDS)
        assert not self._thread.is_alive()
        return self.output


def asks(account: Account, folder: Path) -> "subprocess.Popen[str]":
    """Runs the command as a person does, in any folder."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    addresses = {"AWS_ENDPOINT_URL": account.cdk.endpoint or "", **account.cdk.credentials}
    return subprocess.Popen(
        [ROOT / "infra", "rollback", "production", "--service", "api", "--note", "it looks wrong"],
        cwd=folder,
        env={**clean, **addresses, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answered(asking: "subprocess.Popen[str]") -> str:
    """The output up to its successful end."""
    out, err = asking.communicate()
    assert asking.returncode == 0, out + err
    return out


def let_go_once_it_goes_back(place: ReleaseTarget, hold: Hold) -> threading.Thread:
    """Releases the hold during the rollback, as ECS runs the hooks of both traffic shifts then, too."""

    def wait() -> None:
        while status_of(place) == "IN_PROGRESS":
            time.sleep(0.05)
        hold.file.unlink(missing_ok=True)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def status_of(place: ReleaseTarget) -> str | None:
    """Status of the newest deployment."""
    deployment = service_status(place).deployment
    return deployment.status if deployment else None


def came_to(place: ReleaseTarget, stage: str, releasing: Releasing) -> None:
    wait_until(
        lambda: stage_of(place) == stage,
        lambda: f"it never came to {stage}, but to {stage_of(place)}: {releasing.output}",
        seconds=_COMES_WITHIN_SECONDS,
    )


def report(what: str, users: UserTraffic, bad: str, asked: float) -> None:
    """Prints a row of the table in docs/adr/0033: `pytest -s`."""
    old = max(users.last.get(bad, asked) - asked, 0.0)
    print(f"\n| {what} | {old:.1f} s | {time.monotonic() - asked:.1f} s | {users.requests} | {len(users.failures)} |")  # noqa: T201


@pytest.mark.parametrize("stage", STAGES)
def test_at_each_stage_the_old_version_serves_again_and_no_request_is_lost(
    stage: str, production: Account, hold: Hold, tmp_path: Path
) -> None:
    before, place = first_release(production), place_of(production)
    bad = image_for(production, stage, hold)
    with held(production, stage, hold), traffic(production).flowing() as users:
        releasing = Releasing(production, bad)
        came_to(place, stage, releasing)
        if stage == "PRE_SCALE_UP":
            with connected_as_owner(production) as owner:
                wait_until(lambda: migrating(owner) == 1, lambda: "the migration does not run", seconds=10.0)
        let_go_once_it_goes_back(place, hold)
        asked = time.monotonic()
        output = answered(asks(production, tmp_path))
        assert "it looks wrong" in releasing.ended()
        report(stage, users, bad, asked)
        assert users.ask("/")["version"] == place.image() == before
    assert WAYS[stage] in output
    assert re.search(r"r\S+ was stopped; \S+@[0-9a-f]{12} serves", output), output
    assert users.failures == []
    assert (bad in users.versions) == (WAYS[stage] != NOT_SEEN)
    assert stack_of(production, place.stack)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    entry = place.ledger.newest("api")
    assert entry is not None
    assert (entry.image, entry.outcome) == (bad, "failed")
    assert re.fullmatch(r"stopped by arn:\S+: it looks wrong", str(entry.reason))
    if stage == "PRE_SCALE_UP":
        assert "its migration is stopped" in output
        with connected_as_owner(production) as owner:
            wait_until(lambda: migrating(owner) == 0, lambda: "PostgreSQL still runs its statement", seconds=30.0)


@pytest.mark.skipif(len(STAGES) < len(WAYS), reason="make soak")
def test_a_rollback_that_is_already_under_way_is_followed(production: Account, hold: Hold, tmp_path: Path) -> None:
    before, place = first_release(production), place_of(production)
    bad = image_for(production, "rolling back", hold)
    with held(production, "PRODUCTION_TRAFFIC_SHIFT", hold), traffic(production).flowing() as users:
        releasing = Releasing(production, bad)
        came_to(place, "PRODUCTION_TRAFFIC_SHIFT", releasing)
        asked, first = time.monotonic(), asks(production, tmp_path)
        # The hook holds its way back, too.
        wait_until(lambda: status_of(place) == "ROLLBACK_IN_PROGRESS", lambda: str(status_of(place)), seconds=30.0)
        second = asks(production, tmp_path)
        assert second.stdout is not None
        assert second.stdout.readline() == "it goes back already\n"
        hold.file.unlink()
        answered(second)
        report("rolling back", users, bad, asked)
        assert SEEN in answered(first)
        assert "it looks wrong" in releasing.ended()
    assert place.image() == before
    assert users.failures == []


@pytest.mark.skipif(len(STAGES) < len(WAYS), reason="make soak")
def test_a_release_that_is_over_is_gone_back_from_by_a_release(production: Account, tmp_path: Path) -> None:
    before, place = first_release(production), place_of(production)
    bad = push(production, "api", "held-nowhere", (FIRST, SECOND))
    release(production, bad)
    with traffic(production).flowing() as users:
        asked = time.monotonic()
        output = answered(asks(production, tmp_path))
        report("finished", users, bad, asked)
        assert users.ask("/")["version"] == place.image() == before
    assert "by a release: the old tasks have ended" in output
    assert users.failures == []


def migrating(connection: Connection) -> int:
    """How many sessions run the statement of the held migration. The login itself sees it, the group does not."""
    connection.execute("set role none")
    query = "select count(*) from pg_stat_activity where query like 'select pg_sleep(900)%'"
    (count,) = connection.execute(query).fetchone() or (0,)
    return int(count)
