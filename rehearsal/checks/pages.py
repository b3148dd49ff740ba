"""Checks of notifications when alarms fire and when they end: e-mails, Slack messages, incidents at PagerDuty."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from config.model import Route
from rehearsal.account import Account
from rehearsal.checks.assertions import not_on_this_plan, require
from simulators.aws.cost_messages import ANOMALY, BUDGET, BUDGET_SUBJECT
from simulators.aws.deliveries import DeliveredMessage, read

# Includes the cold start of the webhook's function.
_DELIVERY_SECONDS = 30.0
_POLL_SECONDS = 0.1
# A real fault in the account may set the alarm off again later.
_BOTH = ["ALARM", "OK"]


def mailed(account: Account) -> str:
    """E-mails reach the addresses that their owners have confirmed."""
    topics = _topics(account, lambda route: bool(route.email))
    if not topics:
        not_on_this_plan("no severity has an e-mail address")
    confirmed = _confirm_addresses(account, topics)
    alarms = 0
    for topic, route in topics.items():
        for alarm in _one_of_each_kind(account, topic):
            sent = _set_off_and_end(account, alarm)
            for address in route.email:
                mails = [each for each in sent if (each.topic, each.to) == (topic, address)]
                subjects = [each.subject.partition(":")[0] for each in mails]
                require(subjects[:2] == _BOTH, f"{alarm['AlarmName']}: {address} got {subjects}")
                require(all("docs/runbooks/" in each.text for each in mails), f"no runbook: {mails[0].text}")
            alarms += 1
    return f"{alarms} alarms and their ends, to {confirmed} addresses after they confirmed"


def in_slack(account: Account) -> str:
    """Slack shows only messages that Amazon Q does not drop. Messages about costs are no alarms."""
    topics = _topics(account, lambda route: route.slack_channel is not None)
    if not topics:
        not_on_this_plan("no severity has a Slack channel")
    messages = 0
    for topic, route in topics.items():
        for alarm in _one_of_each_kind(account, topic):
            sent = _set_off_and_end(account, alarm)
            shown = [
                json.loads(each.text)["NewStateValue"]
                for each in _shown(sent)
                if (each.topic, each.to) == (topic, route.slack_channel)
            ]
            require(shown[:2] == _BOTH, f"{alarm['AlarmName']}: {route.slack_channel} shows {shown}")
            messages += len(shown)
        if route is account.environment.alarms.warning:
            before = len(read(account.emulator.deliveries))
            for subject, text in ((BUDGET_SUBJECT, BUDGET), ("", ANOMALY)):
                account.client("sns").publish(TopicArn=topic, Message=text, **({"Subject": subject} if subject else {}))
            sent = read(account.emulator.deliveries)[before:]
            costs = [each.text for each in _shown(sent) if each.to == route.slack_channel]
            require({BUDGET, ANOMALY} <= set(costs), f"of costs, {route.slack_channel} shows {costs}")
            messages += len(costs)
    return f"{messages} messages: alarms and their ends, a budget, an anomaly"


def at_pagerduty(account: Account) -> str:
    """Every alarm that pages opens an incident under its own key, and its end resolves that one."""
    topics = _topics(account, lambda route: route.webhook_secret is not None)
    if not topics:
        not_on_this_plan("no severity has a webhook")
    alarms = [each for topic in topics for each in _telling(account, topic)]
    require(alarms, "no alarm pages")
    _set(account, alarms, "OK")
    ended = {each["AlarmArn"]: _resolved(account, each["AlarmArn"]) for each in alarms}
    opened = {each["AlarmArn"]: len(account.pagerduty.incidents.get(each["AlarmArn"], [])) for each in alarms}
    _set(account, alarms, "ALARM")
    # One after the other: SNS and Lambda keep no order, and an incident resolved before it is opened stays open.
    # A composite alarm soon returns to the state of its parts, so an incident may be over or open again.
    _wait(
        alarms,
        lambda key: _is_open(account, key) or len(account.pagerduty.incidents.get(key, [])) > opened[key],
        "open no incident at PagerDuty",
    )
    _set(account, alarms, "OK")
    _wait(alarms, lambda key: _resolved(account, key) > ended[key], "leave theirs open at PagerDuty")
    for each in alarms:
        summary = account.pagerduty.incidents[each["AlarmArn"]][-1].summary
        require("docs/runbooks/" in summary, f"no runbook: {summary}")
    return f"{len(alarms)} alarms, each an incident that its end resolved"


def _topics(account: Account, has: Callable[[Route], bool]) -> dict[str, Route]:
    """ARNs of the topics of severities with this kind of recipient."""
    routes = account.environment.alarms
    found = {}
    for arn in account.resources("Platform", "AWS::SNS::Topic"):
        name = account.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"]
        route: Route = getattr(routes, name.split()[0])
        if has(route):
            found[arn] = route
    return found


def _telling(account: Account, topic: str) -> list[dict[str, Any]]:
    """The alarms that notify the topic, metric alarms first."""
    pages = (
        account.client("cloudwatch")
        .get_paginator("describe_alarms")
        .paginate(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    )
    found = [each for page in pages for kind in ("MetricAlarms", "CompositeAlarms") for each in page[kind]]
    return [each for each in found if topic in each["AlarmActions"]]


def _one_of_each_kind(account: Account, topic: str) -> Iterator[dict[str, Any]]:
    """One alarm of each kind (metric, metric math, composite), as their messages differ."""
    kinds = {tuple(key in each for key in ("AlarmRule", "Metrics")): each for each in _telling(account, topic)}
    yield from kinds.values()


def _set_off_and_end(account: Account, alarm: dict[str, Any]) -> list[DeliveredMessage]:
    """Messages about this alarm since then."""
    _set(account, [alarm], "OK")
    before = len(read(account.emulator.deliveries))
    for state in ("ALARM", "OK"):
        _set(account, [alarm], state)
    sent = read(account.emulator.deliveries)[before:]
    return [each for each in sent if f'"AlarmName": "{alarm["AlarmName"]}"' in each.text]


def _set(account: Account, alarms: list[dict[str, Any]], state: str) -> None:
    for each in alarms:
        account.client("cloudwatch").set_alarm_state(
            AlarmName=each["AlarmName"], StateValue=state, StateReason="rehearsed"
        )


def _shown(sent: list[DeliveredMessage]) -> Iterator[DeliveredMessage]:
    return (each for each in sent if each.dropped is None)


def _wait(alarms: list[dict[str, Any]], holds: Callable[[str], bool], otherwise: str) -> None:
    """Waits until the condition has held once for each alarm's ARN. Raises `Failed` when that takes too long."""
    give_up = time.monotonic() + _DELIVERY_SECONDS
    left = alarms
    while left := [each for each in left if not holds(each["AlarmArn"])]:
        require(time.monotonic() < give_up, f"{', '.join(each['AlarmName'] for each in left)} {otherwise}")
        time.sleep(_POLL_SECONDS)


def _resolved(account: Account, key: str) -> int:
    return sum(each.is_resolved for each in account.pagerduty.incidents.get(key, []))


def _is_open(account: Account, key: str) -> bool:
    incidents = account.pagerduty.incidents.get(key, [])
    return bool(incidents) and not incidents[-1].is_resolved


def _confirm_addresses(account: Account, topics: Iterable[str]) -> int:
    """Follows the links in the confirmation mails, as their owners would. Returns the number of confirmed addresses."""
    sns, confirmed = account.client("sns"), set()
    links = {
        (each.topic, each.to): parse_qs(urlsplit(each.text).query)
        for each in read(account.emulator.deliveries)
        if each.subject.endswith("Subscription Confirmation")
    }
    for topic in topics:
        for page in sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic):
            for each in page["Subscriptions"]:
                if each["Protocol"] != "email":
                    continue
                if each["SubscriptionArn"] == "PendingConfirmation":
                    (token,) = links[topic, each["Endpoint"]]["Token"]
                    sns.confirm_subscription(TopicArn=topic, Token=token)
                confirmed.add(each["Endpoint"])
    return len(confirmed)
