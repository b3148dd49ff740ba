"""Sends what arrives on a topic to PagerDuty, or to any other webhook.

PagerDuty's own integration for CloudWatch reads messages of alarms; custom notifications and costs' messages it drops.
Its Events API v2 takes all of them, and ends an incident when its alarm is over.
"""

import json
import os
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from infra_runtime.aws import client
from infra_runtime.contract.secret_values import Secrets, deadline_of
from infra_runtime.reporting import reported
from infra_runtime.vendor_api import TRANSIENT, Clock, Refused, Unavailable, connection

_PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
# PagerDuty's documentation of the Events API v2: longer summaries are cut off.
_SUMMARY_LETTERS = 1024
_STATUS = {"ALARM": "firing", "OK": "resolved"}
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0


class BadSecret(Exception):
    """The secret is neither a URL nor PagerDuty's key; says what is expected, and nothing of its value."""


@dataclass(frozen=True)
class Notification:
    """One message of a topic."""

    key: str
    """The same for an alarm's beginning and its end; of any other message, its id."""
    status: str
    """`firing` or `resolved`."""
    title: str
    text: str
    source: str
    """Alarm's name, or who sent it."""

    @property
    def is_alarm(self) -> bool:
        """Only an alarm's key is an ARN."""
        return self.key.startswith("arn:")


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    """Handles messages of one topic. Raises what `notify` raises: Lambda retries, then an alarm fires."""
    secret = Secrets(client("secretsmanager")).read(os.environ["SECRET"])
    for record in event["Records"]:
        notify(
            record["Sns"],
            secret,
            severity=os.environ["SEVERITY"],
            alarms=client("cloudwatch"),
            deadline=deadline_of(context),
        )


def notify(
    message: Mapping[str, Any],
    secret: str,
    *,
    severity: str,
    alarms: Any,
    deadline: float,
    clock: Clock | None = None,
    http: httpx.Client | None = None,
) -> None:
    """Delivers an SNS message and then, if its alarm has changed since, the alarm's state now.

    SNS and Lambda keep no order, and Lambda repeats failures minutes later. Without the second step, a late end would
    close the incident of an alarm that fires again, and a late beginning would leave one open for good.
    `alarms` is a CloudWatch client. Raises what `deliver` does, and CloudWatch's `ClientError`.
    """
    what = notification(message)
    deliver(what, secret, severity=severity, deadline=deadline, clock=clock, http=http)
    if not what.is_alarm:
        return
    pages = alarms.get_paginator("describe_alarms").paginate(
        AlarmNames=[what.source], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    states = [each["StateValue"] for page in pages for each in (*page["MetricAlarms"], *page["CompositeAlarms"])]
    # INSUFFICIENT_DATA notifies no one, so it changes nothing here either.
    now = _STATUS.get(states[0], what.status) if states else what.status
    if now != what.status:
        deliver(replace(what, status=now), secret, severity=severity, deadline=deadline, clock=clock, http=http)


def notification(message: Mapping[str, Any]) -> Notification:
    """The notification in an SNS message: of a metric or composite alarm, a custom one, an anomaly, or any other text.

    AWS Budgets sends text. Neither it nor Cost Anomaly Detection ever says that it is over.
    """
    text = message["Message"]
    subject = message.get("Subject") or text.strip().partition("\n")[0] or "Notification of AWS"
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, Mapping) and "NewStateValue" in found:
        means = found.get("AlarmDescription") or ""
        return Notification(
            key=found["AlarmArn"],
            status=_STATUS.get(found["NewStateValue"], "firing"),
            title=means or found["AlarmName"],
            text=f"{means}\n{found.get('NewStateReason', '')}".strip(),
            source=found["AlarmName"],
        )
    if isinstance(found, Mapping) and found.get("source") == "custom":
        content = found["content"]
        lines = [content["description"], *content.get("nextSteps", [])]
        title = content.get("title") or subject
        return Notification(
            key=message["MessageId"], status="firing", title=title, text="\n".join(lines), source="EventBridge"
        )
    if isinstance(found, Mapping) and "anomalyId" in found:
        return _anomaly(found)
    return Notification(key=message["MessageId"], status="firing", title=subject, text=text, source="AWS")


def _anomaly(found: Mapping[str, Any]) -> Notification:
    """An anomaly as in the example of AWS's Cost Management user guide; only the id is required."""
    impact, service = found.get("impact") or {}, found.get("dimensionalValue")
    causes = [
        ", ".join(str(cause[key]) for key in ("service", "region", "usageType") if cause.get(key))
        for cause in found.get("rootCauses") or []
    ]
    days = f"{str(found.get('anomalyStartDate'))[:10]} to {str(found.get('anomalyEndDate'))[:10]}"
    spent = f"spent {impact.get('totalActualSpend')} USD, expected {impact.get('totalExpectedSpend')} USD"
    return Notification(
        key=found["anomalyId"],
        status="firing",
        title=f"Cost anomaly: {impact.get('totalImpact')} USD more than expected"
        + (f" ({service})" if service else ""),
        text="\n".join([f"{days}: {spent}.", *causes, str(found.get("anomalyDetailsLink") or "")]).strip(),
        source="Cost Anomaly Detection",
    )


def deliver(
    what: Notification,
    secret: str,
    *,
    severity: str,
    deadline: float,
    clock: Clock | None = None,
    http: httpx.Client | None = None,
) -> None:
    """Until it is accepted. Sending twice does no harm: the receiver knows it by its key.

    `severity` is `critical`, `warning` or `info`, `deadline` in seconds since 1970.
    Raises `BadSecret`, `Refused`, or `Unavailable` when there was no definite answer before the deadline.
    """
    clock, http = clock or Clock(), http or connection()
    url, body = _request(what, secret, severity)
    wait = _FIRST_WAIT
    while True:
        try:
            status = http.post(url, json=body).status_code
        except httpx.TransportError as error:
            trouble = type(error).__name__
        else:
            if 200 <= status < 300:
                return
            trouble = f"HTTP {status}"
            if status not in TRANSIENT:
                raise Refused(f"{what.title}: the webhook answered {trouble}")
        if clock.now() + wait >= deadline:
            raise Unavailable(f"{what.title}: {trouble}, and no time is left")
        clock.sleep(wait * random.uniform(0.5, 1))
        wait = min(_LONGEST_WAIT, wait * 2)


def _request(what: Notification, secret: str, severity: str) -> tuple[str, dict[str, Any]]:
    """(URL, body). The secret is PagerDuty's key as JSON, or any other webhook's URL."""
    try:
        chosen = json.loads(secret)
    except ValueError:
        chosen = None
    if isinstance(chosen, Mapping) and isinstance(chosen.get("routing_key"), str):
        return str(chosen.get("url", _PAGERDUTY)), _pagerduty(what, chosen["routing_key"], severity)
    url = urlsplit(secret.strip())
    if chosen is None and url.scheme == "https" and not (url.hostname or "").endswith("pagerduty.com"):
        return secret.strip(), {"version": "1", "severity": severity, **asdict(what)}
    raise BadSecret('expected {"routing_key": KEY of PagerDuty\'s Events API v2} or the https URL of another webhook')


def _pagerduty(what: Notification, routing_key: str, severity: str) -> dict[str, Any]:
    """PagerDuty's Events API v2; a resolve needs no payload."""
    event = {"routing_key": routing_key, "dedup_key": what.key}
    if what.status == "resolved":
        return {**event, "event_action": "resolve"}
    payload = {
        "summary": what.title[:_SUMMARY_LETTERS],
        "source": what.source,
        "severity": severity,
        "custom_details": {"text": what.text},
    }
    return {**event, "event_action": "trigger", "payload": payload}
