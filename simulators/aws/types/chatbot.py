"""AWS::Chatbot::SlackChannelConfiguration: MiniStack has no chat applications."""

from ministack.core.responses import AccountScopedDict, get_account_id

from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, client, register

# One in all regions: the service is global (aws-samples/aws-securityhub-to-slack #11).
_configurations = AccountScopedDict()


class _SlackChannel:
    name = "AWS::Chatbot::SlackChannelConfiguration"

    def create(self, properties: Properties) -> Provisioned:
        if any(each["SlackChannelId"] == properties["SlackChannelId"] for each in _configurations.values()):
            # Words of cloudcomponents/cdk-constructs #92.
            channel, workspace = properties["SlackChannelId"], properties["SlackWorkspaceId"]
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


def channels(topic: str) -> list[str]:
    """Ids of the channels that a topic is configured for."""
    return [each["SlackChannelId"] for each in _configurations.values() if topic in each.get("SnsTopicArns", [])]


def install() -> None:
    register(_SlackChannel())
