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
        # Keys of messages in public repositories: one spells the service in its own way, and the update's name, which
        # `aws elasticache batch-apply-update-action` needs, stands beside the event.
        (
            json.dumps(
                {
                    "Service Update Name": "elasticache-20260608-intel",
                    "Replication Group ID": "limits",
                    "Elasticache:ServiceUpdateAvailableForNode": "limits-001",
                }
            ),
            "ServiceUpdateAvailableForNode",
            "of limits-001. Service Update Name: elasticache-20260608-intel. Replication Group ID: limits.",
        ),
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


@pytest.mark.parametrize(("name", "times"), [("SnapshotComplete", 0), ("SnapshotFailed", 1)])
def test_a_daily_snapshot_is_no_news_unless_it_fails(name: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sns = Sns()
    monkeypatch.setenv("TOPIC", "arn:info")
    monkeypatch.setattr(events, "client", lambda _: sns)
    handler({"Records": [{"Sns": {"Message": json.dumps({f"ElastiCache:{name}": "limits-001"})}}]}, None)
    assert len(sns.published) == times
