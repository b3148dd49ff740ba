"""Objectives of a service, and alarms on how fast their error budget burns.

Each alarm has two windows: the long one shows that the burn matters, the short one that it continues ("The Site
Reliability Workbook", chapter 5). A burn rate of 1 uses up the budget in exactly its thirty days.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from infra_constructs.alarms.alarm import (
    AlarmSpec,
    Severity,
    Threshold,
    Topics,
    TreatMissing,
    add_alarm,
    alarm_description,
    composite_name,
    notify,
)
from infra_constructs.alarms.traffic import metric_of
from infra_runtime.contract.metrics import TrafficMetric

_OBJECTIVES = ("Availability", "Latency")
# In a window with fewer requests, a single failure would be a high burn rate.
_ENOUGH_REQUESTS = 100
_RUNBOOK = "objective"


@dataclass(frozen=True, kw_only=True)
class ObjectiveProps:
    """What an environment may choose."""

    availability_percent: float
    """Share of requests without a 5xx."""
    fast_percent: float
    """Share of requests that are answered within `fast_seconds`."""
    fast_seconds: float


@dataclass(frozen=True)
class _Speed:
    name: str
    burn_rate: float
    long: cdk.Duration
    short: cdk.Duration
    severity: Severity
    description: str


_SPEEDS = (
    _Speed(
        "Fast",
        14.4,
        cdk.Duration.hours(1),
        cdk.Duration.minutes(5),
        Severity.CRITICAL,
        "at this pace the month's budget is gone in two days",
    ),
    _Speed(
        "Slow",
        3,
        cdk.Duration.days(1),
        cdk.Duration.hours(2),
        Severity.WARNING,
        "at this pace the month's budget is gone in ten days",
    ),
)


class ObjectiveAlarms(Construct):
    """Availability is measured at the edge, where users see it; latency at the load balancer."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        host: str,
        target_groups: Sequence[elbv2.ApplicationTargetGroup],
        props: ObjectiveProps,
        topics: Topics,
    ) -> None:
        super().__init__(scope, id_)
        self._environment, self._host, self._groups, self._props = environment, host, target_groups, props
        # Prefix of metric ids: one graph shows two services.
        self._of = id_.lower()
        self.critical: list[cloudwatch.IAlarm] = []
        for objective in _OBJECTIVES:
            for speed in _SPEEDS:
                composite = self._add(objective, speed, topics)
                if speed.severity is Severity.CRITICAL:
                    self.critical.append(composite)

    @property
    def burn_rates(self) -> dict[str, cloudwatch.IMetric]:
        """Burn rates of the last hour, for the dashboard."""
        return {each: self.burn_rate(each, _SPEEDS[0].long) for each in _OBJECTIVES}

    def burn_rate(self, objective: str, window: cdk.Duration) -> cloudwatch.MathExpression:
        """Burn rate of the budget; 0 while there are too few requests."""
        return self._availability(window) if objective == "Availability" else self._latency(window)

    def _add(self, objective: str, speed: _Speed, topics: Topics) -> cloudwatch.CompositeAlarm:
        words = {"Availability": "too many requests end in a 5xx", "Latency": "too many requests are slow"}
        description = f"For users of {self._host} {words[objective]}: {speed.description}."
        windows = [
            add_alarm(
                self,
                f"{objective}{speed.name}{name}",
                topics=None,
                spec=AlarmSpec(
                    runbook=_RUNBOOK,
                    description=description,
                    severity=speed.severity,
                    metric=self.burn_rate(objective, window),
                    threshold=Threshold(value=speed.burn_rate, unit="times the budget's pace", breaches=1, periods=1),
                    missing=TreatMissing.NOT_BREACHING,
                ),
            )
            for name, window in (("Long", speed.long), ("Short", speed.short))
        ]
        state = cloudwatch.AlarmState.ALARM
        composite = cloudwatch.CompositeAlarm(
            self,
            f"{objective}{speed.name}",
            composite_alarm_name=composite_name(self, f"{objective}{speed.name}"),
            alarm_description=alarm_description(self, speed.severity, description, runbook=_RUNBOOK),
            alarm_rule=cloudwatch.AlarmRule.all_of(*(cloudwatch.AlarmRule.from_alarm(each, state) for each in windows)),
        )
        # The incident alarm pages; this one names the cause.
        notify(composite, topics, Severity.INFO if speed.severity is Severity.CRITICAL else speed.severity)
        return composite

    def _availability(self, window: cdk.Duration) -> cloudwatch.MathExpression:
        budget = 100 - self._props.availability_percent
        errors, requests = f"{self._of}errors", f"{self._of}requests"
        return cloudwatch.MathExpression(
            expression=f"IF({requests} >= {_ENOUGH_REQUESTS}, (100 * {errors} / {requests}) / {budget:.6g}, 0)",
            using_metrics={
                errors: metric_of(self._environment, TrafficMetric.SERVER_ERRORS, period=window, Host=self._host),
                requests: metric_of(self._environment, TrafficMetric.REQUESTS, period=window, Host=self._host),
            },
            label=f"{self._host}: 5xx, times the budget's pace",
            period=window,
        )

    def _latency(self, window: cdk.Duration) -> cloudwatch.MathExpression:
        budget = 100 - self._props.fast_percent
        metrics: dict[str, cloudwatch.IMetric] = {}
        slow, requests = [], []
        for index, group in enumerate(self._groups):
            count, in_time = f"{self._of}r{index}", f"{self._of}f{index}"
            metrics[count] = group.metrics.request_count(period=window, statistic="Sum")
            metrics[in_time] = group.metrics.target_response_time(
                period=window, statistic=f"PR(:{self._props.fast_seconds:g})"
            )
            requests.append(f"FILL({count}, 0)")
            slow.append(f"FILL({count}, 0) * (100 - FILL({in_time}, 100))")
        total = " + ".join(requests)
        return cloudwatch.MathExpression(
            expression=f"IF(({total}) >= {_ENOUGH_REQUESTS}, (({' + '.join(slow)}) / ({total})) / {budget:.6g}, 0)",
            using_metrics=metrics,
            label=f"{self._host}: slow, times the budget's pace",
            period=window,
        )
