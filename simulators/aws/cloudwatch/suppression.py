"""Composite alarms whose actions wait for another alarm (CloudWatch user guide, "Suppressing composite alarm actions").

Assumed: the extension period also holds back an alarm that goes off within it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ministack.core import responses
from ministack.services import cloudwatch

Dispatch = Callable[[dict[str, Any], str, str, str], None]
"""Takes an alarm's action: alarm, old state, new state, reason."""
_Key = tuple[str, str, str]
"""Account, region, name."""


@dataclass
class Suppression:
    """Suppressed composite alarms of every account and region."""

    act: Dispatch
    _notified: set[_Key] = field(default_factory=set)
    """Alarms whose last action was that of ALARM."""
    _suppressing: set[_Key] = field(default_factory=set)
    _ended: dict[_Key, float] = field(default_factory=dict)
    """Last time at which an alarm's suppressor was in ALARM."""

    def dispatch(self, alarm: dict[str, Any], old: str, new: str, reason: str) -> None:
        """Replaces `act`: runs the actions of alarms without a suppressor."""
        if "ActionsSuppressor" not in alarm:
            self.act(alarm, old, new, reason)

    def step(self, now: float) -> None:
        """Once a minute, in the account and region of the request; `now` in seconds since 1970."""
        for alarm in list(cloudwatch._composite_alarms.values()):
            if "ActionsSuppressor" in alarm:
                self._step(alarm, now)

    def _step(self, alarm: dict[str, Any], now: float) -> None:
        key = responses.get_account_id(), responses.get_region(), str(alarm["AlarmName"])
        name = alarm["ActionsSuppressor"].rpartition(":alarm:")[2]
        suppressor = cloudwatch._composite_alarms.get(name) or cloudwatch._alarms[name]
        if suppressor["StateValue"] == "ALARM":
            self._suppressing.add(key)
        elif key in self._suppressing:
            self._suppressing.remove(key)
            self._ended[key] = now
        is_free = (
            key not in self._suppressing
            and now - alarm["StateTransitionedTimestamp"] >= alarm["ActionsSuppressorWaitPeriod"]
            and now - self._ended.get(key, 0.0) >= alarm["ActionsSuppressorExtensionPeriod"]
        )
        was_notified, is_on = key in self._notified, alarm["StateValue"] == "ALARM"
        if is_on and not was_notified and is_free:
            self._notified.add(key)
            self.act(alarm, "OK", "ALARM", alarm["StateReason"])
        elif was_notified and not is_on:
            self._notified.remove(key)
            self.act(alarm, "ALARM", alarm["StateValue"], alarm["StateReason"])
