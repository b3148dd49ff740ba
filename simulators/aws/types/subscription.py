"""AWS::SNS::Subscription: MiniStack treats every e-mail address as confirmed."""

from typing import Any

from ministack.services import sns

from simulators.aws.recipients import ask_to_confirm
from simulators.aws.resource_type import extend


def install() -> None:
    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        arn, attributes = own["create"](logical_id, properties, stack_name)
        if properties["Protocol"] == "email":
            ask_to_confirm(sns._find_subscription(properties["TopicArn"], arn))
        return arn, attributes

    own = extend("AWS::SNS::Subscription", create=create)
