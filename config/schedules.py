"""The longest time between two runs of an EventBridge schedule (EventBridge User Guide, "Schedule types")."""

import re
from calendar import monthrange
from datetime import date, timedelta
from itertools import pairwise

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_CRON = re.compile(r"cron\(([^)]+)\)")
_MINUTES = {"minute": 1, "hour": 60, "day": 24 * 60}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY = 24 * 60
_HORIZON_DAYS = 800
"""More than two years, so that a yearly schedule runs twice in it."""


class InvalidSchedule(Exception):
    """Not a schedule; the message gives examples of valid ones."""

    def __init__(self) -> None:
        super().__init__("a schedule in UTC like rate(15 minutes), rate(1 day) or cron(30 3 * * ? *)")


def longest_gap(schedule: str) -> int:
    """In minutes. Raises `InvalidSchedule`, also for L, W and #, which it cannot read."""
    if match := _RATE.fullmatch(schedule):
        count = int(match[1])
        if count < 1 or (count == 1) == schedule.endswith("s)"):  # EventBridge refuses `1 hours` and `2 hour`
            raise InvalidSchedule
        return count * _MINUTES[match[2]]
    match = _CRON.fullmatch(schedule)
    fields = match[1].split() if match else []
    if len(fields) != 6 or (fields[2] == "?") == (fields[4] == "?"):
        raise InvalidSchedule
    minutes, hours = _values(fields[0], 0, 59), _values(fields[1], 0, 23)
    months, years = _values(fields[3], 1, 12, _MONTHS), _values(fields[5], 1970, 2199)
    of_month = None if fields[2] == "?" else _values(fields[2], 1, 31)
    of_week = None if fields[4] == "?" else _values(fields[4], 1, 7, _DAYS)
    times = sorted(hour * 60 + minute for hour in hours for minute in minutes)
    first = date(2027, 1, 1)
    runs = []
    for index in range(_HORIZON_DAYS):
        day = first + timedelta(days=index)
        wanted = day.day in of_month if of_month is not None else day.isoweekday() % 7 + 1 in (of_week or ())
        if wanted and day.month in months and day.year in years and day.day <= monthrange(day.year, day.month)[1]:
            runs += [index * _DAY + time for time in times]
    if len(runs) < 2:
        raise InvalidSchedule
    return max(later - earlier for earlier, later in pairwise(runs))


def _values(field: str, least: int, most: int, names: tuple[str, ...] = ()) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        begin, _, end = span.partition("-")
        try:
            low = least if begin in ("*", "?") else _number(begin, names)
            high = _number(end, names) if end else (most if begin in ("*", "?") or step else low)
            found |= set(range(low, high + 1, int(step or 1)))
        except ValueError:
            raise InvalidSchedule from None
        if not (least <= low <= high <= most):
            raise InvalidSchedule
    return found


def _number(text: str, names: tuple[str, ...]) -> int:
    return names.index(text) + 1 if text in names else int(text)
