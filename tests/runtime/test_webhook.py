"""Every kind of message opens an incident at PagerDuty, an alarm's end resolves it, and nothing is lost on the way."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from infra_runtime.contract.notification import custom
from infra_runtime.vendor_api import Refused, Unavailable
from infra_runtime.webhook import BadSecret, deliver, notification, notify
from simulators.aws.cost_messages import ANOMALY, BUDGET, BUDGET_SUBJECT
from simulators.pagerduty.simulator import ROUTING_KEY, PagerDuty, served
from tests.runtime.conftest import Time

ARN = "arn:aws:cloudwatch:eu-central-1:111122223333:alarm:Users"
# CloudWatch user guide, "Acting on alarm changes": what an SNS message of an alarm holds. A composite one has
# AlarmRule and TriggeringChildren in place of Trigger.
_ALARM: Mapping[str, Any] = {
    "AlarmName": "Users",
    "AlarmDescription": "CRITICAL: Users see errors. Runbook: docs/runbooks/incident.md",
    "AWSAccountId": "111122223333",
    "NewStateReason": "arn:…:Errors transitioned to ALARM",
    "StateChangeTime": "2026-11-26T01:00:00.000+0000",
    "Region": "EU (Frankfurt)",
    "AlarmArn": ARN,
}
COMPOSITE = {**_ALARM, "AlarmRule": 'ALARM("Errors")', "TriggeringChildren": [{"Arn": "arn:…:Errors"}]}
METRIC = {**_ALARM, "Trigger": {"MetricName": "Errors", "Namespace": "AWS/Lambda"}}
RULE = custom("WARNING: Database failover or failure", "A failover.", next_steps=["Runbook: docs/runbooks/x.md"])


def sns(message: object, subject: str | None = None) -> dict[str, Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    return {"MessageId": f"id of {text[:40]}", "Subject": subject, "Message": text}


@pytest.fixture
def pagerduty() -> PagerDuty:
    return PagerDuty()


@pytest.fixture
def secret(pagerduty: PagerDuty) -> Iterator[str]:
    with served(pagerduty) as url:
        yield json.dumps({"routing_key": ROUTING_KEY, "url": url})


def send(message: object, secret: str, *, subject: str | None = None, seconds: float = 300) -> Time:
    passing = Time()
    deliver(
        notification(sns(message, subject)),
        secret,
        severity="critical",
        deadline=passing.seconds + seconds,
        clock=passing.clock,
    )
    return passing


@pytest.mark.parametrize("alarm", [METRIC, COMPOSITE], ids=["metric", "composite"])
def test_an_alarm_opens_one_incident_and_its_end_resolves_it(
    alarm: dict[str, Any], pagerduty: PagerDuty, secret: str
) -> None:
    for state in ("ALARM", "ALARM", "OK", "ALARM"):
        send({**alarm, "NewStateValue": state}, secret)
    first, second = pagerduty.incidents[ARN]
    assert (first.triggers, first.is_resolved, second.is_resolved) == (2, True, False)
    assert first.summary == _ALARM["AlarmDescription"]
    assert first.severity == "critical"


@pytest.mark.parametrize(
    ("message", "subject", "summary"),
    [
        (RULE, None, "WARNING: Database failover or failure"),
        (ANOMALY, None, "Cost anomaly: 1001 USD more than expected (ServiceName)"),
        (ANOMALY.replace('"ServiceName"', "null"), None, "Cost anomaly: 1001 USD more than expected"),
        (BUDGET, BUDGET_SUBJECT, BUDGET_SUBJECT),
        (BUDGET, None, "AWS Budget Notification September 26, 2026"),
        ("Test", None, "Test"),
        ("x" * 5000, None, "x" * 1024),
        ({**METRIC, "NewStateValue": "ALARM", "AlarmDescription": "z" * 1500}, None, "z" * 1024),
    ],
    ids=[
        "event",
        "anomaly",
        "anomaly of no service",
        "budget",
        "budget without a subject",
        "plain",
        "long",
        "long alarm",
    ],
)
def test_every_other_message_is_an_incident_of_its_own(
    message: object, subject: str | None, summary: str, pagerduty: PagerDuty, secret: str
) -> None:
    send(message, secret, subject=subject)
    send(message, secret, subject=subject)  # Lambda's second attempt
    ((incident,),) = pagerduty.incidents.values()
    assert (incident.summary, incident.triggers) == (summary, 2)


@dataclass
class Alarms:
    """CloudWatch, which knows the state of one alarm."""

    state: str | None
    kind: str = "MetricAlarms"

    def get_paginator(self, _: str) -> "Alarms":
        return self

    def paginate(self, *, AlarmNames: list[str], AlarmTypes: list[str]) -> list[dict[str, Any]]:  # noqa: N803
        assert set(AlarmTypes) == {"MetricAlarm", "CompositeAlarm"}  # without it, CloudWatch answers no composites
        found = [{"AlarmName": AlarmNames[0], "StateValue": self.state}] if self.state else []
        return [{"MetricAlarms": [], "CompositeAlarms": [], self.kind: found}]


@pytest.mark.parametrize(
    ("arrive", "alarms", "is_resolved"),
    [
        (["ALARM", "OK"], Alarms("OK"), True),
        (["OK", "ALARM"], Alarms("OK"), True),
        (["OK", "ALARM"], Alarms("OK", "CompositeAlarms"), True),
        (["ALARM", "ALARM", "OK"], Alarms("ALARM"), False),
        (["ALARM"], Alarms("INSUFFICIENT_DATA"), False),
        (["ALARM"], Alarms(None), False),
    ],
    ids=["in order", "late beginning", "of a composite", "late end of an older alarm", "no data now", "deleted since"],
)
def test_the_incident_is_as_the_alarm_is_in_whatever_order_its_messages_arrive(
    arrive: list[str], alarms: Alarms, is_resolved: bool, pagerduty: PagerDuty, secret: str
) -> None:
    passing = Time()
    for state in arrive:
        notify(
            sns({**METRIC, "NewStateValue": state}),
            secret,
            severity="critical",
            alarms=alarms,
            deadline=passing.seconds + 300,
            clock=passing.clock,
        )
    last = pagerduty.incidents[ARN][-1]
    assert (last.is_resolved, last.summary) == (is_resolved, _ALARM["AlarmDescription"])


def test_a_busy_receiver_is_tried_again(pagerduty: PagerDuty, secret: str) -> None:
    pagerduty.trouble = [429, 500, 503]
    assert len(send(BUDGET, secret).slept) == 3
    assert len(pagerduty.incidents) == 1


def test_a_message_that_is_not_delivered_is_an_error(pagerduty: PagerDuty, secret: str) -> None:
    pagerduty.trouble = [503] * 100
    with pytest.raises(Unavailable, match="HTTP 503"):
        send(BUDGET, secret, seconds=60)
    pagerduty.trouble = []
    wrong = json.dumps({**json.loads(secret), "routing_key": "short"})
    with pytest.raises(Refused, match="HTTP 400"):
        send(BUDGET, wrong)
    with pytest.raises(Unavailable, match="ConnectError"):
        send(BUDGET, json.dumps({"routing_key": ROUTING_KEY, "url": "http://127.0.0.1:9/"}), seconds=5)


@pytest.mark.parametrize(
    "secret",
    ["", "{}", "[]", '{"routing_key": 1}', ROUTING_KEY, "http://example.com/hook", "https://events.pagerduty.com/x"],
)
def test_a_malformed_secret_is_refused_without_its_value(secret: str) -> None:
    with pytest.raises(BadSecret, match="routing_key") as refused:
        send(BUDGET, secret)
    assert not secret or len(secret) < 3 or secret not in str(refused.value)


def test_another_webhook_gets_a_plain_body() -> None:
    bodies = []

    def receive(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(200)

    deliver(
        notification(sns({**COMPOSITE, "NewStateValue": "OK"})),
        "https://hooks.example.com/x",
        severity="critical",
        deadline=2e9,
        http=httpx.Client(transport=httpx.MockTransport(receive)),
    )
    (body,) = bodies
    assert set(body) == {"version", "severity", "key", "status", "title", "text", "source"}
    assert (body["version"], body["status"], body["key"]) == ("1", "resolved", ARN)


def test_costs_are_shown_as_text_that_a_person_reads() -> None:
    budget, anomaly = (notification(sns(each)).text for each in (BUDGET, ANOMALY))
    assert "FORECASTED Amount: $1,720.13" in budget
    assert anomaly == (
        "2021-05-25 to 2021-05-25: spent 1301 USD, expected 300 USD.\n"
        "AnomalousServiceName, AnomalousRegionName, AnomalousUsageType\n"
        "https://console.aws.amazon.com/cost-management/home#/anomaly-detection/monitors/abcdef12/anomalies/12345678"
    )


def test_an_anomaly_that_grows_stays_one_incident(pagerduty: PagerDuty, secret: str) -> None:
    send(ANOMALY, secret)
    send(ANOMALY.replace("1001", "2002"), secret)
    ((incident,),) = pagerduty.incidents.values()
    assert incident.triggers == 2
