"""All alarms of an environment, muted for a time by CloudWatch's own rules, which end by themselves.

A rule names at most 100 alarms, begins at a full minute and lasts at most 15 days (CloudWatch API Reference,
PutAlarmMuteRule). When the last rule of an alarm ends, or is deleted, an alarm that fires then takes its action.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

MOST_ALARMS = 100


def mute(
    cloudwatch: Any, prefix: str, alarms: Sequence[str], *, until: datetime, about: str, now: datetime
) -> list[str]:
    """Returns the rules' names. They start at the next minute: nothing is documented about a start in the past."""
    begin = (now + timedelta(minutes=1)).replace(second=0, microsecond=0)
    minutes = max(1, math.ceil((until - begin).total_seconds() / 60))
    names = []
    for first in range(0, len(alarms), MOST_ALARMS):
        name = f"{prefix}-{begin:%Y%m%dT%H%M}-{first // MOST_ALARMS + 1}"
        cloudwatch.put_alarm_mute_rule(
            Name=name,
            Description=about,
            Rule={"Schedule": {"Expression": f"at({begin:%Y-%m-%dT%H:%M})", "Duration": f"PT{minutes}M"}},
            MuteTargets={"AlarmNames": list(alarms[first : first + MOST_ALARMS])},
            ExpireDate=until,
        )
        names.append(name)
    return names


def unmute(cloudwatch: Any, rules: Sequence[str]) -> None:
    """A rule that is gone already is no error, as in the API."""
    for name in rules:
        cloudwatch.delete_alarm_mute_rule(AlarmMuteRuleName=name)
