"""Alarms on the network's way in (load balancer) and out (NAT)."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarm, add_alarms

_PERIOD = cdk.Duration.minutes(1)


class LoadBalancerAlarms(Construct):
    """The load balancer itself fails, not the service behind it."""

    def __init__(self, scope: Construct, id_: str, *, balancer: elbv2.ApplicationLoadBalancer, topics: Topics) -> None:
        super().__init__(scope, id_)
        specs = {
            "Errors": AlarmSpec(
                runbook="load-balancer-errors",
                description="Requests fail before they reach a service.",
                severity=Severity.CRITICAL,
                paged_by_composite=True,
                metric=balancer.metrics.http_code_elb(elbv2.HttpCodeElb.ELB_5XX_COUNT, period=_PERIOD, statistic="Sum"),
                threshold=Threshold(value=20, unit="responses a minute", breaches=3, periods=5),
                missing=TreatMissing.NOT_BREACHING,
            ),
            "Rejected": AlarmSpec(
                runbook="load-balancer-rejects",
                description="The load balancer is at its connection limit and turns users away.",
                severity=Severity.CRITICAL,
                paged_by_composite=True,
                metric=balancer.metrics.rejected_connection_count(period=_PERIOD, statistic="Sum"),
                threshold=Threshold(value=0, unit="connections a minute", breaches=2, periods=5),
                missing=TreatMissing.NOT_BREACHING,
            ),
        }
        self.alarms = add_alarms(self, specs, topics=topics)


class NatAlarms(Construct):
    """A gateway that runs out of ports silently drops connections."""

    def __init__(self, scope: Construct, id_: str, *, gateways: list[str], topics: Topics) -> None:
        super().__init__(scope, id_)
        for number, gateway in enumerate(gateways, start=1):
            spec = AlarmSpec(
                runbook="nat-ports",
                description="Calls to the outside fail from one zone: too many connections to one address.",
                severity=Severity.WARNING,
                metric=cloudwatch.Metric(
                    namespace="AWS/NATGateway",
                    metric_name="ErrorPortAllocation",
                    dimensions_map={"NatGatewayId": gateway},
                    period=_PERIOD,
                    statistic="Sum",
                ),
                threshold=Threshold(value=0, unit="failed connections a minute", breaches=3, periods=5),
                missing=TreatMissing.NOT_BREACHING,
            )
            add_alarm(self, f"Ports{number}", topics=topics, spec=spec)
