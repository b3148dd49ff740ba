"""E-mail addresses that should receive alarms, and do not."""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from ops.account import is_denied
from ops.doctor.finding import Finding
from ops.effects.template import Templates
from ops.functions import Clients, physical_ids

_WHY = "no alarm reaches this address, and nothing else says so"


def recipients(clients: Clients, wanted: Templates, stack: str) -> Iterator[Finding]:
    """Of subscriptions that are deployed and stay. `stack` has the topics. Raises what boto3 raises.

    SNS deletes a subscription that is unconfirmed after 48 hours, or that its owner ended by the link in a mail (SNS
    developer guide, "Deleting an Amazon SNS topic and subscription"). A deployment does not bring it back.
    """
    deployed, resources = physical_ids(clients, stack), wanted[stack]["Resources"]
    for name, each in resources.items():
        if each["Type"] != "AWS::SNS::Subscription" or each["Properties"]["Protocol"] != "email":
            continue
        of, address = each["Properties"]["TopicArn"]["Ref"], each["Properties"]["Endpoint"]
        if name not in deployed or not (topic := deployed.get(of)):
            continue
        try:
            subscription = _subscription(clients, topic, address)
        except ClientError as error:
            # A pipeline's role that was deployed before this check may not read it.
            if is_denied(error):
                return
            raise
        where = f"{resources[of]['Properties']['DisplayName']}, {address}"
        again = f"aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint {address}"
        if subscription is None:
            fix = f"ask for another mail, whose link its owner opens within 48 hours: {again}"
            yield Finding(where=where, what="is not subscribed", why=_WHY, fix=fix, stops=False)
        elif not subscription.startswith("arn:"):
            fix = f"its owner opens the link in AWS's mail within 48 hours; for another mail: {again}"
            yield Finding(where=where, what="has not confirmed", why=_WHY, fix=fix, stops=False)


def _subscription(clients: Clients, topic: str, address: str) -> str | None:
    """Its ARN, `PendingConfirmation` or, for some days after its end, `Deleted`."""
    sns: Any = clients.client("sns")
    for page in sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic):
        for each in page["Subscriptions"]:
            if each["Endpoint"] == address:
                return None if each["SubscriptionArn"] == "Deleted" else str(each["SubscriptionArn"])
    return None
