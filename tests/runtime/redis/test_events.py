"""What ElastiCache reports reaches people in a form that Slack shows."""

import json

import pytest

from infra_runtime.redis import events
from infra_runtime.redis.events import handler


class Sns:
    def __init__(self) -> None:
        self.published: list[dict[str, str]] = []

    def publish(self, **message: str) -> None:
        self.published.append(message)


@pytest.mark.parametrize(
    ("message", "title", "text"),
    [
        (json.dumps({"ElastiCache:FailoverComplete": "limits-001"}), "FailoverComplete", "limits-001"),
        ("An engine patch is due.", "event", "An engine patch is due."),
        ("[]", "event", "[]"),
    ],
)
def test_an_event_is_passed_on_as_a_custom_notification(
    message: str, title: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sns = Sns()
    monkeypatch.setenv("TOPIC", "arn:info")
    monkeypatch.setattr(events, "client", lambda _: sns)
    handler({"Records": [{"Sns": {"Message": message}}]}, None)
    (sent,) = sns.published
    notification = json.loads(sent["Message"])
    assert (notification["version"], notification["source"]) == ("1.0", "custom")
    assert notification["content"]["title"] == sent["Subject"] == f"Redis: {title}"
    assert text in notification["content"]["description"]
    assert sent["TopicArn"] == "arn:info"
