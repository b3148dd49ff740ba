"""Sends a topic's messages to PagerDuty or another webhook."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, TreatMissing
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction

_PERIOD = cdk.Duration.minutes(5)


class Webhook(Construct):
    """`infra_runtime.webhook` forwards each message. It reads the secret each time, so no template holds it."""

    def __init__(self, scope: Construct, id_: str, *, topic: sns.ITopic, severity: Severity, secret: str) -> None:
        super().__init__(scope, id_)
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="webhook",
            description=f"Sends {severity.value} alarms to the webhook",
            # Lambda tries three times: a quarter of an hour of an unreachable receiver loses no message.
            timeout=cdk.Duration.minutes(5),
            environment={"SECRET": secret, "SEVERITY": severity.value},
            uses_libraries=True,
        )
        secretsmanager.Secret.from_secret_name_v2(self, "Secret", secret).grant_read(self.handler.role)
        # CloudWatch answers composite alarms only to who may describe all (API reference, DescribeAlarms).
        self.handler.role.add_to_policy(iam.PolicyStatement(actions=["cloudwatch:DescribeAlarms"], resources=["*"]))
        acknowledge(
            self.handler.policy, allows_on("*"), reason="It only reads states; composites are answered for `*` only."
        )
        topic.add_subscription(subscriptions.LambdaSubscription(self.handler.function))

    def failed(self) -> AlarmSpec:
        """An alarm for its failures; e-mail and Slack do not depend on it."""
        errors: cloudwatch.IMetric = self.handler.function.metric_errors(period=_PERIOD, statistic="Sum")
        return AlarmSpec(
            runbook="notification-failed",
            description="The webhook did not accept a page; it went out by e-mail and Slack only.",
            severity=Severity.WARNING,
            metric=errors,
            threshold=Threshold(value=0, unit="failed attempts in 5 minutes", breaches=1, periods=1),
            missing=TreatMissing.NOT_BREACHING,
        )
