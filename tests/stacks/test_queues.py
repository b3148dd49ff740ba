"""A queue in a Redis of its own, a worker, sticky sessions, new tasks for lost dependencies: dev's file with all."""

import json
from typing import Any

import aws_cdk as cdk
import numpy as np
import pytest

import app
from config import ENVIRONMENTS, load
from infra_constructs.load_balancer import IDLE_SECONDS
from infra_runtime.contract.metrics import QueueMetric
from rehearsal.variants import with_queue
from simulators.aws.cloudwatch.alarms import MetricQuery, alarms_of, in_alarm, messages_of, severity_of
from simulators.aws.cloudwatch.metric_math import Series
from tests.conftest import _templates

Templates = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def queued(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Templates:
    folder = tmp_path_factory.mktemp("queue")
    environments = with_queue(ENVIRONMENTS, "dev", into=folder / "environments")
    root = cdk.App(context=context, outdir=str(folder / "cdk.out"))
    app.build(root, load(["dev"], directory=environments))
    root.synth()
    return _templates(folder / "cdk.out")


def of_type(templates: Templates, stack: str, kind: str) -> dict[str, dict[str, Any]]:
    found = templates[stack]["Resources"].items()
    return {name: each["Properties"] for name, each in found if each["Type"] == kind}


def secrets(templates: Templates, stack: str, task: str) -> dict[str, str]:
    """Secrets of the service's own container; the logical id of its task definition begins with `task`."""
    definitions = of_type(templates, stack, "AWS::ECS::TaskDefinition")
    (definition,) = [each for name, each in definitions.items() if name.startswith(task)]
    return {each["Name"]: json.dumps(each["ValueFrom"]) for each in definition["ContainerDefinitions"][0]["Secrets"]}


def test_a_queue_evicts_nothing_beside_a_cache_that_does(queued: Templates) -> None:
    groups = of_type(queued, "dev/Redis", "AWS::ElastiCache::ParameterGroup")
    policies = {name: each["Properties"]["maxmemory-policy"] for name, each in groups.items()}
    assert sorted(policies.values()) == ["noeviction", "volatile-ttl"]
    assert [name for name, policy in policies.items() if policy == "noeviction"] == [
        name for name in policies if "jobs" in name.lower()
    ]
    asked = {
        each["Environment"]["Variables"]["INSTANCE"]: each["Environment"]["Variables"].get("EVICTION")
        for each in of_type(queued, "dev/Redis", "AWS::Lambda::Function").values()
        if "INSTANCE" in each.get("Environment", {}).get("Variables", {})
    }
    assert asked == {"main": None, "jobs": "false"}
    assert len(of_type(queued, "dev/Redis", "Custom::RedisGate")) == 2


def test_a_full_queue_pages_and_keys_without_expiry_do_not(queued: Templates) -> None:
    alarms = of_type(queued, "dev/Redis", "AWS::CloudWatch::Alarm")

    def about(what: str) -> dict[str, tuple[str, float]]:
        return {
            "jobs" if "jobs" in name.lower() else "main": (severity_of(each["AlarmActions"]), each["Threshold"])
            for name, each in alarms.items()
            if what in name
        }

    assert about("Memory") == {"main": ("warning", 80), "jobs": ("critical", 70)}
    assert set(about("KeysWithoutExpiry")) == {"main"}
    assert set(about("ConnectionFailure")) == {"main", "jobs"}


def test_a_worker_gets_the_queue_and_not_the_cache(queued: Templates) -> None:
    worker, api = secrets(queued, "dev/Api", "Mailer"), secrets(queued, "dev/Api", "ServiceTask")
    assert "jobs" in worker["REDIS_QUEUE_URL"].lower()
    assert "REDIS_URL" not in worker
    assert api["REDIS_QUEUE_URL"] == worker["REDIS_QUEUE_URL"] != api["REDIS_URL"]


def test_jobs_of_a_preview_reach_no_worker_of_the_environment(queued: Templates) -> None:
    preview = secrets(queued, "dev/Preview1", "ApiServiceTask")
    assert preview["REDIS_QUEUE_URL"] == preview["REDIS_URL"]
    assert "jobs" not in preview["REDIS_QUEUE_URL"].lower()


def test_a_worker_scales_with_the_jobs_that_wait_for_each_of_its_tasks(queued: Templates) -> None:
    policies = of_type(queued, "dev/Api", "AWS::ApplicationAutoScaling::ScalingPolicy")
    (policy,) = [each for name, each in policies.items() if name.startswith("Mailer")]
    configuration = policy["TargetTrackingScalingPolicyConfiguration"]
    assert configuration["TargetValue"] == 100
    waiting, running, each = configuration["CustomizedMetricSpecification"]["Metrics"]
    assert (each["Expression"], each["ReturnData"]) == ("waiting / running", True)
    assert [waiting["ReturnData"], running["ReturnData"]] == [False, False]
    published = waiting["MetricStat"]["Metric"]
    assert (published["Namespace"], published["MetricName"]) == ("Infra/Queues", "WaitingJobs")
    assert published["Dimensions"] == [
        {"Name": "Environment", "Value": "dev"}, {"Name": "Service", "Value": "mailer"},
    ]  # fmt: skip
    assert running["MetricStat"]["Metric"]["MetricName"] == "RunningTaskCount"


def test_the_probe_of_the_queue_counts_what_the_worker_scales_with(queued: Templates) -> None:
    declared = {
        each["Environment"]["Variables"]["INSTANCE"]: each["Environment"]["Variables"].get("QUEUES")
        for each in of_type(queued, "dev/Redis", "AWS::Lambda::Function").values()
        if "INSTANCE" in each.get("Environment", {}).get("Variables", {})
    }
    assert declared["main"] is None
    assert json.loads(declared["jobs"]) == {"mailer": ["bull:mail:wait", "bull:mail:prioritized"]}


@pytest.mark.parametrize(
    ("what", "waits", "stuck", "expected"),
    [
        ("it is empty", 0, 0, []),
        ("as many wait as all tasks may have", 400, 0, []),
        ("more wait, and jobs are done", 401, 2, ["warning", "warning"]),
        ("a few wait, and none is taken", 3, 16, ["critical", "critical"]),
        ("none is taken for as long as may be", 3, 15, []),
    ],
)
def test_a_backlog_raises_alarms_of_the_right_severity(
    what: str, waits: float, stuck: float, expected: list[str], queued: Templates
) -> None:
    """The backlog lasts twenty minutes, between two quiet hours."""

    def trace(asked: MetricQuery) -> Series:
        value = {"WaitingJobs": waits, "StuckMinutes": stuck}.get(asked.name, 0.0)
        return np.array([0.0] * 60 + [float(value)] * 20 + [0.0] * 60)

    found = [
        message.severity
        for alarm in alarms_of(queued, "dev")
        if "MailerQueue" in alarm.where
        for message in messages_of(alarm, in_alarm(alarm, trace, minutes=140))
    ]
    assert found == expected


def test_the_dashboard_shows_what_waits(queued: Templates) -> None:
    (page,) = of_type(queued, "dev/Observability", "AWS::CloudWatch::Dashboard").values()
    for name in QueueMetric:
        assert f'"Infra/Queues\\",\\"{name.value}\\",\\"Environment\\",\\"dev\\",\\"Service\\",\\"mailer' in json.dumps(
            page
        )


def test_a_worker_that_is_stopped_has_the_longest_time_that_there_is(queued: Templates) -> None:
    tasks = of_type(queued, "dev/Api", "AWS::ECS::TaskDefinition")
    found = {name: each["ContainerDefinitions"][0]["StopTimeout"] for name, each in tasks.items()}
    assert {seconds for name, seconds in found.items() if name.startswith("Mailer")} == {120}
    assert {seconds for name, seconds in found.items() if not name.startswith("Mailer")} == {60}


def test_sticky_sessions_leave_rules_and_target_groups_as_they_are(queued: Templates) -> None:
    """A rule that CloudFormation changes would get the template's weights again (docs/adr/0004)."""
    ((name, sticky),) = of_type(queued, "dev/Api", "Custom::StickySessions").items()
    assert sticky["Minutes"] == "60"
    assert len(sticky["Rules"]) == len(sticky["TargetGroups"]) == 2
    assert "tickiness" not in json.dumps(of_type(queued, "dev/Api", "AWS::ElasticLoadBalancingV2::ListenerRule"))
    for group in of_type(queued, "dev/Api", "AWS::ElasticLoadBalancingV2::TargetGroup").values():
        assert [each["Key"] for each in group["TargetGroupAttributes"]] == [
            "deregistration_delay.timeout_seconds", "load_balancing.algorithm.type",
        ]  # fmt: skip
    assert name in queued["dev/Api"]["Resources"]["Service"]["DependsOn"], "before ECS moves any weight"
    assert not of_type(queued, "dev/Preview1", "Custom::StickySessions"), "it has one task"


HOURS = [0.0] * 60


@pytest.mark.parametrize(
    ("what", "lost", "away", "expected"),
    [
        ("for four minutes", [1.0] * 4, HOURS, 0),
        ("for five minutes", [1.0] * 5, HOURS, 1),
        ("one task of three", [1.0, 0.0] * 10, HOURS, 1),
        ("Redis itself is away", [1.0] * 30, [0.0] * 10 + [1.0] * 50, 0),
        ("it is still lost when Redis is back", [1.0] * 30, [0.0] * 10 + [1.0] * 5 + [0.0] * 45, 1),
        ("the state of Redis is unknown", [1.0] * 30, [float("nan")] * 60, 0),
    ],
)
def test_a_service_gets_new_tasks_when_it_has_lost_what_others_reach(
    what: str, lost: list[float], away: list[float], expected: int, queued: Templates
) -> None:
    """`lost` from the tenth minute on. Once for each time: the alarm that does it stays on while it does not help."""
    minutes = np.array(([0.0] * 10 + lost + HOURS)[:60])

    def trace(asked: MetricQuery) -> Series:
        return minutes if asked.name == "LostDependency" else np.array(away)

    (alarm,) = [each for each in alarms_of(queued, "dev") if "LostDependency" in each.where]
    begins = [each for each in messages_of(alarm, in_alarm(alarm, trace, minutes=60)) if each.severity == "warning"]
    assert len(begins) == 2 * expected, "that it begins, and that it is over"
    assert any("Restart" in json.dumps(each) for each in alarm.properties["AlarmActions"])


def test_the_checks_ask_a_service_about_its_dependencies(queued: Templates) -> None:
    (asked,) = [
        json.loads(each["Environment"]["Variables"]["DEPENDENCIES"])
        for each in of_type(queued, "dev/Observability", "AWS::Lambda::Function").values()
        if "DEPENDENCIES" in each.get("Environment", {}).get("Variables", {})
    ]
    assert [(each["name"], each["url"], each["dependencies"]) for each in asked] == [
        ("api", "https://api-dev.daadaar.com/api/health/release", {"checks.database": "ok", "checks.redis": "ok"})
    ]


def test_a_server_that_asks_its_environment_outlives_the_idle_time_of_the_load_balancer(queued: Templates) -> None:
    """This concerns Next.js and other servers that read the same variable."""
    for stack in ("dev/Api", "dev/Frontend"):
        definitions = of_type(queued, stack, "AWS::ECS::TaskDefinition")
        (service,) = [each for name, each in definitions.items() if name.startswith("ServiceTask")]
        given = {each["Name"]: each["Value"] for each in service["ContainerDefinitions"][0]["Environment"]}
        assert int(given["KEEP_ALIVE_TIMEOUT"]) > IDLE_SECONDS * 1000
