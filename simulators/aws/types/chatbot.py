"""AWS::Chatbot::SlackChannelConfiguration, and the API of Amazon Q in chat applications: MiniStack has neither.

A person authorizes a workspace in the console, in each account (CloudFormation reference, SlackChannelConfiguration).
Words of refusals: README of aws-slack-cost-reporter (npm); cloudcomponents/cdk-constructs #92. A configuration that was
refused for want of it leaves its name behind, and nothing frees it (alchemy-run/alchemy, ChannelConfiguration.test.ts).
"""

import os
from pathlib import Path
from typing import Any

from ministack.core.responses import AccountScopedDict, get_account_id, get_region

from simulators.aws import CONSOLE, rest_api
from simulators.aws.conditions import Condition, is_on
from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, client, register

_SERVICE = "chatbot"
# AWS General Reference, "Amazon Q Developer in chat applications endpoints and quotas".
_REGIONS = ("us-east-2", "us-west-2", "eu-west-1", "ap-southeast-1")
_WORKSPACE = "slack-"
# One in all regions: the service is global (aws-samples/aws-securityhub-to-slack #11).
_configurations = AccountScopedDict()
_refused = AccountScopedDict()
"""Names of configurations that were refused."""


class _SlackChannel:
    name = "AWS::Chatbot::SlackChannelConfiguration"

    def create(self, properties: Properties) -> Provisioned:
        channel, workspace, name = (properties[f] for f in ("SlackChannelId", "SlackWorkspaceId", "ConfigurationName"))
        if name in _refused:
            raise ResourceRefused(f"Configuration {name} already exists. (Error Code: ConflictException)")
        if is_on(Condition.SLACK) and workspace not in workspaces():
            _refused[name] = True
            raise ResourceRefused(
                "Invalid request provided: AWS Chatbot can't create the configuration because Slack workspace "
                f"{workspace} is not authorized with AWS account {get_account_id()}."
            )
        if any(each["SlackChannelId"] == channel for each in _configurations.values()):
            raise ResourceRefused(
                f"Slack channel with ID {channel} in Slack team {workspace} has already been configured for AWS "
                f"account {get_account_id()}."
            )
        return self._put(properties)

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self._put(new)

    def delete(self, physical_id: str, properties: Properties) -> None:
        _configurations.pop(physical_id, None)

    @staticmethod
    def _put(properties: Properties) -> Provisioned:
        for topic in properties.get("SnsTopicArns", []):
            client("sns").get_topic_attributes(TopicArn=topic)
        name = properties["ConfigurationName"]
        arn = f"arn:aws:chatbot::{get_account_id()}:chat-configuration/slack-channel/{name}"
        _configurations[arn] = dict(properties)
        return Provisioned(arn, {"Arn": arn})


class ChatbotError(Exception):
    """An error in the API's own form."""

    code = "InvalidRequestException"


class _Api:
    """Its lists (API reference)."""

    def describe_slack_workspaces(self, **_: Any) -> dict[str, Any]:
        found = [{"SlackTeamId": each, "SlackTeamName": each.lower(), "State": "ENABLED"} for each in workspaces()]
        return {"SlackWorkspaces": found}

    def describe_slack_channel_configurations(self, **_: Any) -> dict[str, Any]:
        found = [
            {
                "ChatConfigurationArn": arn,
                "ConfigurationName": each["ConfigurationName"],
                "IamRoleArn": each["IamRoleArn"],
                "SlackChannelId": each["SlackChannelId"],
                "SlackTeamId": each["SlackWorkspaceId"],
                "SlackTeamName": each["SlackWorkspaceId"].lower(),
                "SnsTopicArns": each.get("SnsTopicArns", []),
                "State": "ENABLED",
            }
            for arn, each in _configurations.items()
        ]
        return {"SlackChannelConfigurations": found}


def _api() -> _Api:
    """Raises `ChatbotError` in a region where there is none: its address does not exist (aws-cli #8658)."""
    if get_region() not in _REGIONS:
        raise ChatbotError(f"chatbot.{get_region()}.amazonaws.com does not exist")
    return _Api()


def workspaces() -> list[str]:
    """Ids of those that a person has authorized."""
    return sorted(each.name.removeprefix(_WORKSPACE) for each in Path(os.environ[CONSOLE]).glob(f"{_WORKSPACE}*"))


def channels(topic: str) -> list[str]:
    """Ids of the channels that a topic is configured for."""
    return [each["SlackChannelId"] for each in _configurations.values() if topic in each.get("SnsTopicArns", [])]


def install() -> None:
    register(_SlackChannel())
    names = ("describe-slack-workspaces", "describe-slack-channel-configurations")
    routes = [("POST", f"/{name}", name.replace("-", "_")) for name in names]
    rest_api.install(
        _SERVICE,
        rest_api.handler(routes, _api, ChatbotError, missing="ResourceNotFoundException", wrong=ChatbotError.code),
    )
