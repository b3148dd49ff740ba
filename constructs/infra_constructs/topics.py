"""Three topics, one for each severity, that CloudWatch may really publish to."""

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra_constructs.alarms import Severity

_PUBLISHERS = ("cloudwatch.amazonaws.com", "events.amazonaws.com", "elasticache.amazonaws.com")


class AlarmTopics(Construct):
    """`by_severity` is where alarms go. E-mail subscribers confirm once, by a link that AWS sends them."""

    def __init__(self, scope: Construct, id_: str, *, subscribers: Mapping[Severity, Sequence[str]]) -> None:
        super().__init__(scope, id_)
        # The AWS-managed key of SNS refuses CloudWatch, silently: the alarm goes off and nobody hears of it.
        key = kms.Key(
            self,
            "Key",
            description="Alarm topics",
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            pending_window=cdk.Duration.days(7),
        )
        own_account = {"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}}
        publishers = [iam.ServicePrincipal(name, conditions=own_account) for name in _PUBLISHERS]
        self.by_severity: dict[Severity, sns.Topic] = {}
        for severity in Severity:
            topic = sns.Topic(
                self,
                severity.value.capitalize(),
                display_name=f"{severity.value} alarms",
                master_key=key,
                enforce_ssl=True,
            )
            for publisher in publishers:
                # Of the topic and, as it is encrypted, of its key.
                topic.grant_publish(publisher)
            for address in subscribers[severity]:
                topic.add_subscription(subscriptions.EmailSubscription(address))
            self.by_severity[severity] = topic
