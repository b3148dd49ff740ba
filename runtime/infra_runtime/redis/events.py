"""Passes ElastiCache's events on to the topic that people subscribe to, in a form that Slack shows.

ElastiCache cannot publish to an encrypted topic, and Amazon Q does not know its messages.
"""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from infra_runtime.aws import client
from infra_runtime.contract.notification import custom
from infra_runtime.reporting import reported


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    """Handles messages of ElastiCache's topic."""
    sns = client("sns")
    for record in event["Records"]:
        for name, text in events(record["Sns"]["Message"]):
            message = custom(f"Redis: {name}", text, next_steps=["Runbook: docs/runbooks/redis-high-availability.md"])
            sns.publish(TopicArn=os.environ["TOPIC"], Subject=f"Redis: {name}"[:100], Message=json.dumps(message))


def events(message: str) -> Iterator[tuple[str, str]]:
    """(name of the event, the whole message): JSON whose keys are `ElastiCache:NAME`, or else any text."""
    try:
        found = json.loads(message)
    except ValueError:
        found = None
    names = [key for key in found if key.startswith("ElastiCache:")] if isinstance(found, Mapping) else []
    for name in names:
        yield name.removeprefix("ElastiCache:"), f"ElastiCache reports {name} of {found[name]}."
    if not names:
        yield "event", message
