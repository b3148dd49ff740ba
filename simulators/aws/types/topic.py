"""AWS::SNS::Topic: MiniStack forgets the key that the topic is encrypted with."""

from typing import Any

from simulators.aws.resource_type import client, extend


def install() -> None:
    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        arn, attributes = own["create"](logical_id, properties, stack_name)
        if key := properties.get("KmsMasterKeyId"):
            client("sns").set_topic_attributes(TopicArn=arn, AttributeName="KmsMasterKeyId", AttributeValue=key)
        return arn, attributes

    own = extend("AWS::SNS::Topic", create=create)
