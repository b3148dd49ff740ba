"""Three SNS topics, one for each severity, with their subscriptions: e-mail, Slack, webhook."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_chatbot as chatbot
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra_constructs.alarms.alarm import Severity, add_alarm
from infra_constructs.webhook import Webhook

# Each of them sends `aws:SourceAccount`; EventBridge perhaps does not.
_PUBLISHERS = ("cloudwatch.amazonaws.com", "budgets.amazonaws.com", "costalerts.amazonaws.com")
_EVENTBRIDGE = "events.amazonaws.com"


@dataclass(frozen=True, kw_only=True)
class RouteProps:
    """How one severity reaches people."""

    email: Sequence[str]
    slack_channel: str | None
    """Channel id."""
    webhook_secret: str | None
    """Name of the secret with PagerDuty's key or a webhook's URL (infra_runtime.webhook)."""


class AlarmTopics(Construct):
    """`by_severity` holds the topics. E-mail subscribers confirm once, by a link that AWS sends them."""

    def __init__(
        self, scope: Construct, id_: str, *, routes: Mapping[Severity, RouteProps], slack_workspace: str | None
    ) -> None:
        super().__init__(scope, id_)
        # The AWS-managed key of SNS silently refuses CloudWatch: the alarm would fire without a notification.
        key = kms.Key(
            self,
            "Key",
            description="Alarm topics",
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            pending_window=cdk.Duration.days(7),
        )
        own_account = {"aws:SourceAccount": cdk.Stack.of(self).account}
        publishers = [iam.ServicePrincipal(name, conditions={"StringEquals": own_account}) for name in _PUBLISHERS]
        # No condition on the source in a key's policy works for EventBridge (SNS developer guide, "Key management").
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(_EVENTBRIDGE)],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
            )
        )
        self.by_severity: dict[Severity, sns.Topic] = {}
        self.webhooks: dict[Severity, Webhook] = {}
        in_channel: defaultdict[str, list[sns.ITopic]] = defaultdict(list)
        for severity, route in routes.items():
            topic = sns.Topic(
                self,
                severity.value.capitalize(),
                display_name=f"{severity.value} alarms",
                master_key=key,
                enforce_ssl=True,
            )
            for publisher in publishers:
                # Extends the topic's policy and, as the topic is encrypted, its key's.
                topic.grant_publish(publisher)
            topic.add_to_resource_policy(
                iam.PolicyStatement(
                    # Sources differ on whether EventBridge sends the account to a topic; if it does, it must be ours.
                    principals=[iam.ServicePrincipal(_EVENTBRIDGE, conditions={"StringEqualsIfExists": own_account})],
                    actions=["sns:Publish"],
                    resources=[topic.topic_arn],
                )
            )
            for address in route.email:
                topic.add_subscription(subscriptions.EmailSubscription(address))
            if route.webhook_secret is not None:
                self.webhooks[severity] = Webhook(
                    self,
                    f"{severity.value.capitalize()}Webhook",
                    topic=topic,
                    severity=severity,
                    secret=route.webhook_secret,
                )
            if route.slack_channel is not None:
                in_channel[route.slack_channel].append(topic)
            self.by_severity[severity] = topic
        for severity, webhook in self.webhooks.items():
            add_alarm(
                self, f"{severity.value.capitalize()}WebhookFailed", topics=self.by_severity, spec=webhook.failed()
            )
        for channel, topics in in_channel.items():
            assert slack_workspace is not None, "channels need their workspace"
            chatbot.SlackChannelConfiguration(
                self,
                f"Slack{channel}",
                slack_channel_configuration_name=f"{cdk.Stack.of(self).stack_name}-{channel}",
                slack_workspace_id=slack_workspace,
                slack_channel_id=channel,
                notification_topics=topics,
                # The channel's members may request graphs, and nothing else.
                guardrail_policies=[iam.ManagedPolicy.from_aws_managed_policy_name("CloudWatchReadOnlyAccess")],
            )
