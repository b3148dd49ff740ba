"""Who gets what a topic says: addresses once they are confirmed, and Slack channels what Amazon Q can show."""

import json
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3

from infra_runtime.contract.notification import custom
from simulators.aws.conditions import Condition
from simulators.aws.deliveries import read
from simulators.aws.process import emulator
from simulators.redis.authority import Authority

ADDRESS, CHANNEL = "oncall@example.com", "C0123ABCDEF"
TEMPLATE = {
    "Resources": {
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "alarms"}},
        "Mail": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {"TopicArn": {"Ref": "Topic"}, "Protocol": "email", "Endpoint": ADDRESS},
        },
        "Slack": {
            "Type": "AWS::Chatbot::SlackChannelConfiguration",
            "Properties": {
                "ConfigurationName": "one",
                "SlackChannelId": CHANNEL,
                "SlackWorkspaceId": "T0123ABCDEF",
                "IamRoleArn": "arn:aws:iam::444455556666:role/one",
                "SnsTopicArns": [{"Ref": "Topic"}],
            },
        },
    }
}


def test_an_address_waits_for_its_confirmation_and_a_bare_sentence_is_dropped(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    with emulator(
        tmp_path, cloudflare=nowhere, upstash=nowhere, authority=Authority(), without=tuple(Condition)
    ) as running:
        keys = {"aws_access_key_id": "444455556666", "aws_secret_access_key": "test", "region_name": "eu-central-1"}
        cloudformation = boto3.client("cloudformation", endpoint_url=running.url, **keys)
        sns = boto3.client("sns", endpoint_url=running.url, **keys)
        cloudformation.create_stack(StackName="one", TemplateBody=json.dumps(TEMPLATE))
        while (stack := cloudformation.describe_stacks(StackName="one")["Stacks"][0])["StackStatus"].endswith(
            "PROGRESS"
        ):
            time.sleep(0.05)
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        (confirmation,) = read(running.deliveries)
        topic, shown = confirmation.topic, json.dumps(custom("Title", "Text."))

        def listed() -> str:
            (found,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
            return str(found["SubscriptionArn"])

        assert listed() == "PendingConfirmation"
        sns.publish(TopicArn=topic, Subject="One", Message="The database has failed over.")
        sns.confirm_subscription(TopicArn=topic, Token=parse_qs(urlsplit(confirmation.text).query)["Token"][0])
        assert listed().startswith(f"{topic}:")
        sns.publish(TopicArn=topic, Subject="Two", Message=shown)
        sent = [(each.to, each.subject, each.dropped is None) for each in read(running.deliveries)[1:]]
    assert sent == [(CHANNEL, "One", False), (ADDRESS, "Two", True), (CHANNEL, "Two", True)]
