"""Forwards ElastiCache's events to people: failovers, replaced nodes, scaling."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarm
from infra_constructs.function import RuntimeFunction


class ElastiCacheEvents(Construct):
    """`topic` is for ElastiCache; `handler` passes its messages on (infra_runtime.redis.events)."""

    def __init__(self, scope: Construct, id_: str, *, topics: Topics) -> None:
        super().__init__(scope, id_)
        to = topics[Severity.INFO]
        # ElastiCache publishes to no encrypted topic (ElastiCache guide, "Event Notifications and Amazon SNS"). Its
        # messages hold an event's name and a node's.
        self.topic = sns.Topic(self, "Topic", display_name="Events of ElastiCache", enforce_ssl=True)
        # By aws:SourceOwner: ElastiCache sends no aws:SourceAccount (guide, "Managing ElastiCache SNS notifications").
        own_account = {"StringEquals": {"aws:SourceOwner": cdk.Stack.of(self).account}}
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("elasticache.amazonaws.com", conditions=own_account)],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
            )
        )
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="redis.events",
            description="Forwards events of ElastiCache to the topic that notifies people",
            timeout=cdk.Duration.seconds(30),
            environment={"TOPIC": to.topic_arn},
        )
        # Not `grant_publish`: it would allow all data key actions, and publishing takes two.
        self.handler.role.add_to_policy(iam.PolicyStatement(actions=["sns:Publish"], resources=[to.topic_arn]))
        assert to.master_key is not None, "topics for people are encrypted"
        to.master_key.grant(self.handler.role, "kms:Decrypt", "kms:GenerateDataKey")
        self.topic.add_subscription(subscriptions.LambdaSubscription(self.handler.function))
        spec = AlarmSpec(
            runbook="notification-failed",
            description="An event of ElastiCache, such as a failover, was not forwarded.",
            severity=Severity.WARNING,
            metric=self.handler.function.metric_errors(period=cdk.Duration.minutes(5), statistic="Sum"),
            threshold=Threshold(value=0, unit="failed attempts in 5 minutes", breaches=1, periods=1),
            missing=TreatMissing.NOT_BREACHING,
        )
        add_alarm(self, "EventsFailed", topics=topics, spec=spec)
