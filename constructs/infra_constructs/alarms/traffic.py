"""Alarms on traffic at the edge, from metrics of infra_runtime.edge_traffic: five to ten minutes late."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarms
from infra_constructs.alarms.egress import EgressSaving
from infra_constructs.function import RuntimeFunction
from infra_constructs.metrics import error_percentage, own_metric
from infra_runtime.contract.metrics import TrafficMetric
from infra_runtime.contract.names import words

_PERIOD = cdk.Duration.minutes(5)
# Below this many requests in five minutes a few errors would be a rate.
_ENOUGH_REQUESTS = 100
# An attack that Cloudflare holds off is no incident; users who are challenged by mistake are.
_MANY_EVENTS = 5000


def metric_of(
    environment: str, name: TrafficMetric, *, period: cdk.Duration = _PERIOD, statistic: str = "Sum", **dimensions: str
) -> cloudwatch.Metric:
    """`dimensions` besides the environment: Host, or Action and Source."""
    return own_metric(environment, name, statistic=statistic, period=period, **dimensions)


class TrafficAlarms(Construct):
    """Alarms on errors at the edge, attacks, the cache's saving, and missing data."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        hosts: Sequence[tuple[str, str]],
        egress: EgressSaving,
        saving_percent: int,
        bridge: RuntimeFunction,
        topics: Topics,
    ) -> None:
        """`hosts` are (what it is, host)."""
        super().__init__(scope, id_)
        errors = {
            f"{words(kind)}Errors": AlarmSpec(
                runbook="edge-errors",
                description=f"One request in twenty to {host} ends in a 5xx, Cloudflare's own (52x) included.",
                severity=Severity.CRITICAL,
                paged_by_composite=True,
                metric=_error_percentage(environment, host),
                threshold=Threshold(value=5, unit="% of requests", breaches=2, periods=3),
                missing=TreatMissing.NOT_BREACHING,
            )
            for kind, host in hosts
        }
        specs = {
            "Attack": AlarmSpec(
                runbook="edge-security-events",
                description=(
                    "Cloudflare blocks or challenges far more than usual: an attack, or a rule that blocks users."
                ),
                severity=Severity.WARNING,
                metric=metric_of(environment, TrafficMetric.SECURITY_EVENTS),
                threshold=Threshold(value=_MANY_EVENTS, unit="events in 5 minutes", breaches=3, periods=4),
                missing=TreatMissing.NOT_BREACHING,
            ),
            "Ddos": AlarmSpec(
                runbook="edge-security-events",
                description="Cloudflare is blocking an HTTP DDoS attack.",
                severity=Severity.WARNING,
                metric=metric_of(environment, TrafficMetric.DDOS_EVENTS),
                threshold=Threshold(value=_MANY_EVENTS / 5, unit="events in 5 minutes", breaches=2, periods=3),
                missing=TreatMissing.NOT_BREACHING,
            ),
            "EgressSaving": AlarmSpec(
                runbook="edge-egress-saving",
                description="Cloudflare's cache saves less media traffic from S3 than its target.",
                severity=Severity.WARNING,
                metric=egress.percent(),
                # Neither days without a value nor one good day end it.
                threshold=Threshold(value=saving_percent, unit="% of bytes", breaches=4, periods=7, below=True),
                missing=TreatMissing.NOT_BREACHING,
            ),
            "NoNumbers": AlarmSpec(
                runbook="edge-traffic",
                description="Cloudflare's analytics are missing: the alarms on edge traffic have no data.",
                severity=Severity.WARNING,
                metric=metric_of(environment, TrafficMetric.WINDOWS),
                # Each window is published late, but within the hour.
                threshold=Threshold(value=1, unit="windows in 5 minutes", breaches=12, periods=12, below=True),
                missing=TreatMissing.BREACHING,
            ),
            "Failing": AlarmSpec(
                runbook="edge-traffic",
                description="Cloudflare's analytics cannot be fetched; for a while, later runs can catch up.",
                severity=Severity.WARNING,
                metric=bridge.function.metric_errors(period=_PERIOD, statistic="Sum"),
                threshold=Threshold(value=0, unit="failed runs", breaches=6, periods=12),
                missing=TreatMissing.NOT_BREACHING,
            ),
        }
        self.errors = add_alarms(self, errors, topics=topics)
        self.alarms = self.errors | add_alarms(self, specs, topics=topics)


def _error_percentage(environment: str, host: str) -> cloudwatch.MathExpression:
    return error_percentage(
        metric_of(environment, TrafficMetric.SERVER_ERRORS, Host=host),
        metric_of(environment, TrafficMetric.REQUESTS, Host=host),
        enough=_ENOUGH_REQUESTS,
        label="5xx at the edge, % of requests",
        period=_PERIOD,
    )
