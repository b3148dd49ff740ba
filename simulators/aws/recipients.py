"""Delivers a topic's messages to its e-mail addresses and Slack channels: MiniStack only logs e-mails.

An address gets nothing until its owner follows the link in the confirmation mail (SNS developer guide, "Email
notifications"). Amazon Q Developer delivers to a channel what it can show, see `simulators.aws.amazon_q`.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ministack.core.responses import new_uuid
from ministack.services import sns

from simulators.aws import DELIVERIES
from simulators.aws.amazon_q import objection
from simulators.aws.deliveries import DeliveredMessage, write
from simulators.aws.types.chatbot import channels


def ask_to_confirm(subscription: dict[str, Any]) -> None:
    """Makes an e-mail subscription a pending one, and sends the confirmation mail."""
    topic, address, token = subscription["topic_arn"], subscription["endpoint"], new_uuid()
    subscription |= {"confirmed": False, "token": token}
    subscription["attributes"]["PendingConfirmation"] = "true"
    link = f"https://sns.amazonaws.com/confirmation.html?{urlencode({'TopicArn': topic, 'Token': token})}"
    _write(DeliveredMessage(address, topic, "AWS Notification - Subscription Confirmation", link))


def _listed(topic: dict[str, Any], answer: str) -> str:
    """SNS lists a pending subscription without its ARN, though Subscribe may return that (SNS API Reference,
    ListSubscriptionsByTopic and Subscribe).
    """
    for each in topic["subscriptions"]:
        if not each["confirmed"]:
            answer = answer.replace(f">{each['arn']}<", ">PendingConfirmation<")
    return answer


def install() -> None:
    own, own_list = sns._fanout, sns._list_subscriptions_by_topic

    def list_by_topic(params: dict[str, Any]) -> Any:
        status, headers, body = own_list(params)
        topic = sns._topic_by_arn_any_scope(sns._p(params, "TopicArn"))
        return status, headers, _listed(topic, body.decode()).encode() if topic else body

    def fanout(topic: str, identity: str, message: str, subject: str, *rest: Any, **options: Any) -> None:
        own(topic, identity, message, subject, *rest, **options)
        found = sns._topic_by_arn_any_scope(topic)
        for each in found["subscriptions"] if found else []:
            if each["protocol"] == "email" and each["confirmed"]:
                _write(DeliveredMessage(each["endpoint"], topic, subject or "AWS Notification Message", message))
        for channel in channels(topic):
            _write(DeliveredMessage(channel, topic, subject, message, objection(message)))

    sns._fanout, sns._list_subscriptions_by_topic = fanout, list_by_topic


def _write(delivery: DeliveredMessage) -> None:
    write(Path(os.environ[DELIVERIES]), delivery)
