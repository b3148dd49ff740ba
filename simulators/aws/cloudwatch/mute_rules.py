"""Alarm mute rules: while one is active, the actions of its alarms wait; states go on.

CloudWatch user guide, "Alarm mute rules" and "How alarm mute rules work", and the API Reference (read 2026-11): actions
of every state are muted; an alarm that is still in the state in which it was muted when the last rule ends, or is
deleted, takes its action then. Only one-time rules, and only by botocore's protocol. Codes of refusals are assumed.
"""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ministack import app
from ministack.core import responses
from ministack.services import cloudwatch

from simulators.aws.cloudwatch.suppression import Dispatch

_MOST_ALARMS = 100
_POLL_SECONDS = 0.2
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d)\)")
_DURATION = re.compile(r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?)?")


class MuteRuleRefused(Exception):
    """The message is AWS's answer."""


@dataclass(frozen=True)
class _Rule:
    request: dict[str, Any]
    begin: datetime
    end: datetime

    def status(self, now: datetime) -> str:
        return "SCHEDULED" if now < self.begin else "ACTIVE" if now < self.end else "EXPIRED"


@dataclass
class MuteRules:
    """The mute rules of every account and region."""

    act: Dispatch
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _rules: Any = field(default_factory=responses.AccountRegionScopedDict)
    _waiting: dict[tuple[str, str, str], tuple[dict[str, Any], str, str, str]] = field(default_factory=dict)
    """Last suppressed action of each muted alarm, by account, region and name."""

    def dispatch(self, alarm: dict[str, Any], old: str, new: str, reason: str) -> None:
        """Replaces `act`: holds back the actions of muted alarms."""
        where = responses.get_account_id(), responses.get_region(), alarm["AlarmName"]
        if not self._is_muted(alarm["AlarmName"]):
            self._waiting.pop(where, None)
            self.act(alarm, old, new, reason)
        elif where in self._waiting and self._waiting[where][1] == new:
            del self._waiting[where]  # Its state is what it was before the rule.
        else:
            self._waiting[where] = alarm, old, new, reason

    def release(self) -> None:
        """Runs the held-back actions of alarms that are no longer muted."""
        for where in list(self._waiting):
            responses.set_request_account_id(where[0])
            responses.set_request_region(where[1])
            if not self._is_muted(where[2]):
                late = self._waiting.pop(where, None)
                if late is not None:
                    self.act(*late)

    def _is_muted(self, alarm: str) -> bool:
        rules: list[_Rule] = self._rules.values()
        return any(
            alarm in each.request["MuteTargets"]["AlarmNames"] and each.status(self.now()) == "ACTIVE" for each in rules
        )

    def put(self, request: dict[str, Any]) -> dict[str, Any]:
        """Raises `MuteRuleRefused`."""
        schedule, names = request["Rule"]["Schedule"], request.get("MuteTargets", {}).get("AlarmNames", [])
        at, duration = _AT.fullmatch(schedule["Expression"]), _DURATION.fullmatch(schedule["Duration"])
        if at is None or duration is None:
            raise MuteRuleRefused(f"not understood here: {schedule}")
        length = timedelta(**{unit: int(amount or 0) for unit, amount in duration.groupdict().items()})
        if not timedelta(minutes=1) <= length <= timedelta(days=15):
            raise MuteRuleRefused(f"Duration must be between PT1M and P15D: {schedule['Duration']}")
        if len(names) > _MOST_ALARMS:
            raise MuteRuleRefused(f"more than {_MOST_ALARMS} alarms: {len(names)}")
        known = {*cloudwatch._alarms, *cloudwatch._composite_alarms}
        if unknown := [each for each in names if each not in known]:
            raise MuteRuleRefused(f"alarms do not exist: {', '.join(unknown)}")
        begin = datetime.strptime(at[1], "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
        if begin < self.now():
            raise MuteRuleRefused("the time of at() is over")  # AWS's behaviour is not documented.
        end = begin + length
        if "ExpireDate" in request:
            end = min(end, datetime.fromtimestamp(request["ExpireDate"], UTC))
        self._rules[request["Name"]] = _Rule(request, begin, end)
        return {}

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        """Raises `KeyError`."""
        found: _Rule = self._rules[request["AlarmMuteRuleName"]]
        kept = ("Name", "Description", "Rule", "MuteTargets")
        answer = {key: found.request[key] for key in kept if key in found.request}
        return {**answer, "Status": found.status(self.now()), "MuteType": "ONE_TIME"}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """Deletes a rule. Succeeds if it does not exist."""
        self._rules.pop(request["AlarmMuteRuleName"], None)
        return {}


def install() -> None:
    own = app.SERVICE_HANDLERS["monitoring"]
    rules = MuteRules(cloudwatch._dispatch_alarm_actions)
    operations = {
        "PutAlarmMuteRule": rules.put, "GetAlarmMuteRule": rules.get, "DeleteAlarmMuteRule": rules.delete
    }  # fmt: skip

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        operation = operations.get(headers.get("x-amz-target", "").rpartition(".")[2])
        if operation is None:
            return await own(method, path, headers, body, query)
        try:
            return cloudwatch._json_ok(operation(json.loads(body)))
        except MuteRuleRefused as refused:
            return cloudwatch._error("ValidationError", str(refused), 400, use_json=True)
        except KeyError as missing:
            return cloudwatch._error("ResourceNotFoundException", f"{missing} not found", 404, use_json=True)

    def run() -> None:
        while True:
            time.sleep(_POLL_SECONDS)
            rules.release()

    app.SERVICE_HANDLERS["monitoring"], cloudwatch._dispatch_alarm_actions = handle, rules.dispatch
    threading.Thread(target=run, daemon=True).start()
