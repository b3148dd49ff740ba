"""The longest gap between a schedule's runs, which decides when a job is overdue."""

import pytest

from config.schedules import InvalidSchedule, longest_gap

_HOUR, _DAY = 60, 24 * 60


@pytest.mark.parametrize(("schedule", "minutes"), [
    ("rate(1 minute)", 1),
    ("rate(15 minutes)", 15),
    ("rate(1 day)", _DAY),
    ("cron(30 3 * * ? *)", _DAY),
    ("cron(0 * * * ? *)", _HOUR),
    ("cron(0/20 * * * ? *)", 20),
    ("cron(0 9,17 * * ? *)", 16 * _HOUR),
    ("cron(0 6 ? * MON-FRI *)", 3 * _DAY),
    ("cron(0 6 ? * 2 *)", 7 * _DAY),
    ("cron(0 6 1 * ? *)", 31 * _DAY),
    ("cron(0 6 1 JAN ? *)", 366 * _DAY),
])  # fmt: skip
def test_the_longest_gap_of_a_schedule_is_computed(schedule: str, minutes: int) -> None:
    assert longest_gap(schedule) == minutes


@pytest.mark.parametrize("schedule", [
    "", "hourly", "rate(0 minutes)", "rate(1 minutes)", "rate(2 hour)", "rate(90 seconds)", "* * * * *",
    "cron(0 3 * * * *)", "cron(0 3 ? * ? *)", "cron(0 25 * * ? *)", "cron(60 3 * * ? *)", "cron(0 3 L * ? *)",
    "cron(0 3 31 FEB ? *)", "cron(0 3 * * ?)", "cron(0 3 ? * 8 *)", "cron(0 3 * * ? 2020)",
])  # fmt: skip
def test_invalid_schedules_are_refused(schedule: str) -> None:
    with pytest.raises(InvalidSchedule, match="rate"):
        longest_gap(schedule)
