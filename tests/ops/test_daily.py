"""What an operator does every day: logs, a restart, a page in the browser."""

import io
import json
import webbrowser
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from config import load
from config.model import Environment
from ops import __main__ as infra
from ops import addresses, ids, logs, restart
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.functions import ask
from tests.ops.account import NAME, Account
from tests.ops.every_command import conforms
from tests.runtime.fakes import Paginator

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
POSTGRESQL = "/aws/rds/instance/db/postgresql"


class CloudWatchLogs:
    """Events by log group, in pages of one; a page may be empty. The first event creates its group."""

    class exceptions:  # noqa: N801
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[Mapping[str, Any]] = []

    def writes(self, group: str, text: str, *, seconds: int) -> None:
        """The time this many seconds after noon."""
        moment = int((NOW + timedelta(seconds=seconds)).timestamp() * 1000)
        found = self.events.setdefault(group, [])
        found.append({"eventId": f"{group}{len(found)}", "timestamp": moment, "message": text})

    def get_paginator(self, operation: str) -> "CloudWatchLogs":
        assert operation == "filter_log_events"
        return self

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        self.asked.append(asked)
        if asked["logGroupName"] not in self.events:
            raise self.exceptions.ResourceNotFoundException
        phrase = asked.get("filterPattern", '""')[1:-1].replace('\\"', '"')
        for each in self.events[asked["logGroupName"]]:
            if each["timestamp"] >= asked["startTime"] and phrase in each["message"]:
                yield {"events": [each]}
            yield {"events": []}


class Logged(Account):
    def __init__(self) -> None:
        super().__init__()
        self.logs = CloudWatchLogs()
        group = "AWS::Logs::LogGroup"
        self.resources = {
            "api": [(group, "ServiceTaskLogs0A1B2C3D", "task"), (group, "MigrateHandlerLogs0A1B2C3E", "migrate")],
            "worker": [(group, "ServiceTaskLogs0A1B2C3F", "worker")],
            "edge": [(group, "DriftCheckLogs0A1B2C40", "drift"), ("AWS::Lambda::Function", "DriftCheck", "f")],
            "data": [("AWS::RDS::DBInstance", "Database", "db")],
        }

    def client(self, service: str) -> Any:
        return self.logs if service == "logs" else super().client(service)


@pytest.fixture
def account() -> Logged:
    return Logged()


@pytest.fixture
def environment() -> Environment:
    """Its second service has an image of its own."""
    found = load([NAME])[NAME]
    return found.model_copy(update={"services": dict.fromkeys(("api", "worker"), found.services["api"])})


def printed(environment: Environment, account: Logged, what: str | None, **options: Any) -> list[str]:
    out = io.StringIO()
    of = logs.Logs(NAME, environment, account)
    logs.show(of, what, Console(file=out, width=200), **{"start": NOW, "grep": None, "follow": False, **options})
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("what", "found"),
    [
        (None, {"task", "migrate", "worker"}),
        ("api", {"task", "migrate"}),
        ("edge", {"drift"}),
        ("drift", {"drift"}),
        ("database", {POSTGRESQL}),
        ("api/Migrate", {"migrate"}),
    ],
)
def test_logs_are_found_by_service_stack_or_function(
    what: str | None, found: set[str], environment: Environment, account: Logged
) -> None:
    assert set(logs.Logs(NAME, environment, account).groups(what).values()) == found


def test_an_unknown_log_is_refused_with_a_list_of_the_known_ones(environment: Environment, account: Logged) -> None:
    with pytest.raises(InputError, match="WHAT 'apo': expected a part of one of api/MigrateHandler, api/ServiceTask"):
        logs.Logs(NAME, environment, account).groups("apo")


def test_lines_of_several_logs_are_in_the_order_of_their_times(environment: Environment, account: Logged) -> None:
    account.logs.writes("task", "\x1b[31mthird\x1b[0m", seconds=3)
    account.logs.writes("task", "before", seconds=-1)
    account.logs.writes("migrate", "second", seconds=2)
    account.logs.writes("task", "fourth", seconds=4)
    assert printed(environment, account, "api") == [
        "2026-11-26 12:00:02 api/MigrateHandler second",
        "2026-11-26 12:00:03 api/ServiceTask third",
        "2026-11-26 12:00:04 api/ServiceTask fourth",
    ]


def test_as_json_each_line_is_one_object(
    environment: Environment, account: Logged, capsys: pytest.CaptureFixture[str]
) -> None:
    account.logs.writes("task", "\x1b[31msecond\x1b[0m", seconds=3)
    account.logs.writes("migrate", "first", seconds=2)
    assert printed(environment, account, "api", as_json=True) == []
    assert conforms("logs", capsys.readouterr().out) == [
        {"when": "2026-11-26T12:00:02.000+00:00", "log": "api/MigrateHandler", "message": "first"},
        {"when": "2026-11-26T12:00:03.000+00:00", "log": "api/ServiceTask", "message": "second"},
    ]
    with pytest.raises(InputError, match="--follow and --json: expected one of them"):
        printed(environment, account, "api", as_json=True, follow=True)


def test_a_long_line_is_not_broken(environment: Environment, account: Logged) -> None:
    account.logs.writes("task", "Task failed ELB health checks " * 20, seconds=1)
    (line,) = printed(environment, account, "api")
    assert line.count("ELB health checks") == 20


def test_grep_is_a_phrase_and_no_pattern(environment: Environment, account: Logged) -> None:
    account.logs.writes("task", 'relation "a" is gone', seconds=1)
    account.logs.writes("task", "nothing", seconds=2)
    (line,) = printed(environment, account, "api", grep='relation "a"')
    assert line.endswith('relation "a" is gone')
    assert account.logs.asked[0]["filterPattern"] == r'"relation \"a\""'


def test_following_prints_each_line_once_also_one_that_arrives_late(environment: Environment, account: Logged) -> None:
    account.logs.writes("task", "first", seconds=10)
    steps = [
        lambda: account.logs.writes("task", "second", seconds=20),
        lambda: account.logs.writes("migrate", "late", seconds=15),
    ]

    def waits(_: float) -> None:
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    lines = printed(environment, account, "api", follow=True, sleep=waits, now=lambda: NOW + timedelta(seconds=70))
    assert [line.rpartition(" ")[2] for line in lines] == ["first", "second", "late"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("1d", NOW - timedelta(days=1)),
        ("2026-11-26T07:59:59Z", datetime(2026, 11, 26, 7, 59, 59, tzinfo=UTC)),
    ],
)
def test_since_takes_a_duration_or_a_time(text: str, moment: datetime) -> None:
    assert logs.since(text, now=NOW) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "0m", "15", "2026-11-26T07:59:59"])
def test_an_invalid_since_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InputError, match="expected 30s, 15m, 2h or 1d, or a time like"):
        logs.since(text, now=NOW)


def test_logs_of_what_is_not_deployed_name_the_deployment(environment: Environment, account: Logged) -> None:
    account.resources.clear()
    with pytest.raises(OperatorError, match="deploy it first: make deploy ENV=production"):
        logs.Logs(NAME, environment, account).groups("edge")


# -- restart


def restarted(environment: Environment, account: Account, service: str = "api", *steps: Any) -> str:
    out, left = io.StringIO(), list(steps)
    restart.restart(
        NAME, environment, service, account, Console(file=out, width=200), sleep=lambda _: account.deployments[
            service][-1].update(left.pop(0)),
    )  # fmt: skip
    return out.getvalue()


def test_a_restart_is_followed_to_its_end(environment: Environment, account: Account) -> None:
    account.deploys(status="SUCCESSFUL", minutes=60)
    output = restarted(
        environment,
        account,
        "api",
        {"lifecycleStage": "SCALE_UP"},
        {"lifecycleStage": "CLEAN_UP", "status": "SUCCESSFUL"},
    )
    assert [line.strip() for line in output.splitlines()[1:]] == [
        "IN_PROGRESS", "IN_PROGRESS SCALE_UP", "SUCCESSFUL CLEAN_UP",
    ]  # fmt: skip
    assert len(account.deployments["api"]) == 2


def test_a_restart_that_goes_back_says_why(environment: Environment, account: Account) -> None:
    account.next_deployment = {"status": "ROLLBACK_SUCCESSFUL", "rollback": {"reason": "the breaker"}}
    with pytest.raises(OperatorError, match="api runs on with its old tasks: the breaker"):
        restarted(environment, account)


def test_nothing_is_restarted_during_a_deployment(environment: Environment, account: Account) -> None:
    account.deploys(stage="BAKE_TIME")
    with pytest.raises(OperatorError, match="a deployment of api is IN_PROGRESS"):
        restarted(environment, account)
    assert len(account.deployments["api"]) == 1


def test_a_worker_in_the_stack_of_another_service_is_found(environment: Environment, account: Account) -> None:
    own = environment.services["worker"].model_copy(update={"runs": "api"})
    environment = environment.model_copy(update={"services": {**environment.services, "worker": own}})
    account.resources["api"] = [("AWS::ECS::Service", "WorkerServiceService0A1B2C3D", "service/one/worker")]
    account.next_deployment = {"status": "SUCCESSFUL"}
    restarted(environment, account, "worker")
    assert (len(account.deployments["worker"]), account.deployments["api"]) == (1, [])
    with pytest.raises(InputError, match="SERVICE 'wroker': expected one of api, worker"):
        restarted(environment, account, "wroker")


# -- names


def test_a_resource_is_named_by_its_kind_and_a_part_of_its_name(environment: Environment, account: Logged) -> None:
    found = [ids.physical_id(NAME, environment, account, what) for what in ("database", "function/drift", "ledger")]
    assert found == ["db", "f", "releases"]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("service", "expected one of service/api/Service, service/worker/Service"),
        ("function/drifd", "expected one of function/edge/DriftCheck"),
        ("redises", "expected one of bucket, certificate, cluster"),
    ],
)
def test_a_name_that_matches_none_or_several_is_refused_with_the_candidates(
    what: str, message: str, environment: Environment, account: Logged
) -> None:
    with pytest.raises(InputError, match=message):
        ids.physical_id(NAME, environment, account, what)


class Functions:
    """Lambda and EventBridge with one function, which a schedule and an AWS event invoke."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def get_function_configuration(self, FunctionName: str) -> dict[str, Any]:  # noqa: N803
        return {"FunctionArn": f"arn:{FunctionName}"}

    def get_paginator(self, operation: str) -> Paginator:
        return Paginator(getattr(self, operation))

    def list_rule_names_by_target(self, TargetArn: str) -> dict[str, Any]:  # noqa: N803
        assert TargetArn == "arn:f"
        return {"RuleNames": ["hourly", "on-change"]}

    def describe_rule(self, Name: str) -> dict[str, Any]:  # noqa: N803
        return {"ScheduleExpression": "rate(1 hour)"} if Name == "hourly" else {"EventPattern": "{}"}

    def list_targets_by_rule(self, Rule: str) -> dict[str, Any]:  # noqa: N803
        return {"Targets": [{"Arn": "arn:other"}, {"Arn": "arn:f", "Input": json.dumps({"from": Rule})}]}

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        self.events.append((FunctionName, json.loads(Payload)))
        return {"Payload": io.BytesIO(b'{"changed": 0}')}


def test_a_function_is_called_as_its_schedule_calls_it(
    environment: Environment, account: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions, own, out = Functions(), account.client, io.StringIO()
    monkeypatch.setattr(account, "client", lambda name: functions if name in ("lambda", "events") else own(name))
    ids.call(NAME, environment, account, "drift", Console(file=out))
    assert functions.events == [("f", {"from": "hourly"})]
    assert '"changed": 0' in out.getvalue()


def test_a_function_that_fails_names_its_log(
    environment: Environment, account: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RuntimeFunction writes to a group of its own, never to /aws/lambda/NAME."""
    full = "daadaar-production-edge-DriftHandlerFunction9EBE9B34-abc"
    failed = {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "401"}')}
    functions = Functions()
    monkeypatch.setattr(functions, "invoke", lambda **_: failed)
    monkeypatch.setattr(account, "client", lambda _: functions)
    with pytest.raises(OperatorError, match=r"the drift check failed: 401; its log: infra logs ENV Drift$"):
        ask(account, full, {}, what="the drift check")


# -- open


def test_open_knows_every_service_and_console(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    for what in ([], ["api"], ["cloudflare"]):
        assert CliRunner().invoke(infra.app, ["open", NAME, *what]).exit_code == 0
    assert opened == [
        "https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1#dashboards/dashboard/daadaar-production",
        "https://api.daadaar.com/",
        "https://dash.cloudflare.com/?to=/:account/daadaar.com",
    ]
    with pytest.raises(InputError, match="WHAT 'jenkins': expected one of api, frontend, dashboard, alarms"):
        addresses.address(NAME, load([NAME])[NAME], "jenkins")
