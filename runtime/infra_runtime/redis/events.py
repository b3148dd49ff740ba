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

_OURS = "elasticache:"
# The automatic snapshot of every day; `SnapshotFailed` is news.
_NO_NEWS = {"snapshotcomplete"}


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    """Handles messages of ElastiCache's topic."""
    sns = client("sns")
    for record in event["Records"]:
        for name, text in events(record["Sns"]["Message"]):
            message = custom(f"Redis: {name}", text, next_steps=["Runbook: docs/runbooks/redis-high-availability.md"])
            sns.publish(TopicArn=os.environ["TOPIC"], Subject=f"Redis: {name}"[:100], Message=json.dumps(message))


def events(message: str) -> Iterator[tuple[str, str]]:
    """Yields name and text of each event of a message, except daily ones.

    A message is JSON with a key `ElastiCache:NAME`, in public copies also `Elasticache:NAME`. Other keys, such as
    `Service Update Name`, become part of the text. Any other message is one event.
    """
    try:
        found = json.loads(message)
    except ValueError:
        found = None
    keys = list(found) if isinstance(found, Mapping) else []
    names = [key for key in keys if key.lower().startswith(_OURS)]
    more = "".join(f" {key}: {found[key]}." for key in keys if key not in names)
    for key in names:
        name = key[len(_OURS) :]
        if name.lower() not in _NO_NEWS:
            yield name, f"ElastiCache reports {name} of {found[key]}.{more}"
    if not names:
        yield "event", message
