"""Alarms that would never go off are refused when they are made."""

from dataclasses import replace

import aws_cdk as cdk
import pytest
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns

from infra_constructs.alarms.alarm import AlarmSpec, ImplausibleAlarm, Severity, Threshold, TreatMissing, add_alarm
from infra_runtime.contract.metrics import EDGE, REDIS, EdgeMetric, RedisMetric

LATENCY = ("AWS/ApplicationELB", "TargetResponseTime", "p95")
GOOD = Threshold(value=2, unit="seconds (p95)", breaches=2, periods=3)


def metric(namespace: str, name: str, statistic: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(namespace=namespace, metric_name=name, statistic=statistic)


def add(what: cloudwatch.IMetric, threshold: Threshold) -> None:
    stack = cdk.Stack(cdk.App(), "Stack")
    topics = {severity: sns.Topic(stack, severity.capitalize()) for severity in Severity}
    spec = AlarmSpec(
        runbook="a",
        description="b",
        severity=Severity.INFO,
        metric=what,
        threshold=threshold,
        missing=TreatMissing.NOT_BREACHING,
    )
    add_alarm(stack, "Alarm", topics=topics, spec=spec)


@pytest.mark.parametrize(
    ("of", "changes"),
    [
        (LATENCY, {}),
        (("AWS/RDS", "FreeStorageSpace", "Minimum"), {"value": 5 * 2**30, "unit": "bytes free"}),
        (("AWS/RDS", "CPUUtilization", "Average"), {"value": 80, "unit": "% CPU"}),
        ((REDIS, RedisMetric.PING.value, "Average"), {"value": 100, "unit": "ms for a ping"}),
        ((EDGE, EdgeMetric.DRIFTED_RULES.value, "Maximum"), {"value": 0, "unit": "objects"}),
    ],
)
def test_an_alarm_that_can_fire_is_created(of: tuple[str, str, str], changes: dict[str, float]) -> None:
    add(metric(*of), replace(GOOD, **changes))  # type: ignore[arg-type]


def test_a_threshold_is_written_out() -> None:
    """Neither the engineer on call nor the policy that compares the text should have to read an exponent."""
    assert str(replace(GOOD, value=1e9, unit="transactions")) == "above 1000000000 transactions in 2 of 3 periods"
    assert str(replace(GOOD, value=0.05)) == "above 0.05 seconds (p95) in 2 of 3 periods"


REFUSED = {
    "100 seconds": (LATENCY, {"value": 100}, "100 seconds .p95.: expected 0.05 to 60"),
    "more than any": (
        ("AWS/RDS", "DatabaseConnections", "Maximum"),
        {"value": 2e9, "unit": "connections"},
        r"2000000000 connections: expected 0 to 1000000 \(_PLAUSIBLE in infra_constructs/metrics.py\)",
    ),
    "milliseconds of what comes in seconds": (LATENCY, {"value": 2000, "unit": "ms"}, "comes in seconds"),
    "seconds of what comes in milliseconds": ((REDIS, "PingMilliseconds", "Average"), {}, "comes in ms"),
    "a share above one hundred": (
        ("AWS/RDS", "CPUUtilization", "Average"),
        {"value": 800, "unit": "% CPU"},
        "0 to 100",
    ),
    "gigabytes for bytes": (("AWS/RDS", "FreeableMemory", "Minimum"), {"value": 4, "unit": "bytes free"}, "expected"),
    "a sum of shares": (("AWS/ECS", "CPUUtilization", "Sum"), {"value": 80, "unit": "% CPU"}, "Sum is not useful"),
    "an average of errors": (
        ("AWS/Lambda", "Errors", "Average"),
        {"value": 1, "unit": "errors"},
        "expected one of Sum",
    ),
    "a percentile of what has none": (
        ("AWS/RDS", "CPUUtilization", "p95"),
        {"value": 80, "unit": "%"},
        "p95 is not useful",
    ),
    "a statistic that is none": (("AWS/ApplicationELB", "TargetResponseTime", "p955"), {}, "p955 is not useful"),
    "a metric that is not published": (
        (EDGE, "DriftedRule", "Maximum"),
        {"value": 0, "unit": "objects"},
        "unknown metric",
    ),
    "a namespace misspelt": (("AWS/ApplicationElb", "RequestCount", "Sum"), {"unit": "requests"}, "unknown metric"),
    "more breaches than periods": (LATENCY, {"breaches": 4}, "4 of 3 periods"),
    "no breach": (LATENCY, {"breaches": 0}, "0 of 3 periods"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_an_alarm_that_can_never_fire_is_refused(why: str) -> None:
    of, changes, text = REFUSED[why]
    with pytest.raises(ImplausibleAlarm, match=text) as refused:
        add(metric(*of), replace(GOOD, **changes))  # type: ignore[arg-type]
    assert "Stack/Alarm" in str(refused.value)


def test_thresholds_of_expressions_are_checked_against_their_metrics() -> None:
    slow, cpu = metric(*LATENCY), metric("AWS/ECS", "CPUUtilization", "Average")
    highest = cloudwatch.MathExpression(expression="MAX([a])", using_metrics={"a": slow})
    add(highest, GOOD)
    with pytest.raises(ImplausibleAlarm, match="comes in seconds"):
        add(highest, replace(GOOD, value=90, unit="% slow"))
    share = cloudwatch.MathExpression(expression="100 * a / b", using_metrics={"a": slow, "b": cpu})
    add(share, replace(GOOD, value=90, unit="% slow"))
    unknown = cloudwatch.MathExpression(expression="100 * a", using_metrics={"a": metric("AWS/ECS", "Cpu", "Average")})
    with pytest.raises(ImplausibleAlarm, match="AWS/ECS Cpu: unknown metric"):
        add(unknown, GOOD)
