"""The evaluator of alarms agrees with the tables of AWS' documentation."""

from typing import Any

import numpy as np
import pytest

from simulators.aws.cloudwatch.alarms import Alarm, Message, MetricQuery, in_alarm, messages
from simulators.aws.cloudwatch.metric_math import evaluate

NAN = float("nan")
# "How alarm state is evaluated when data is missing": five data points, oldest first; X is beyond the threshold, 0 is
# not, - is missing; the answers for breaching, notBreaching, ignore. None: as it was.
ALL_OF_THREE = [
    ("0-X-X", False, False, False),
    ("0----", False, False, False),
    ("-----", True, False, None),
    ("0XX-X", True, True, True),
    ("--X--", True, False, None),
]
TWO_OF_THREE = [
    ("0-X-X", True, True, True),
    ("00X0X", True, True, True),
    ("0-X--", True, False, None),
    ("----0", True, False, None),
    ("---X-", True, False, None),
]


def alarm(**changes: Any) -> dict[str, Any]:
    return {
        "Namespace": "n",
        "MetricName": "m",
        "Statistic": "Maximum",
        "Period": 60,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 3,
        "TreatMissingData": "breaching",
        **changes,
    }


def series(points: str) -> Any:
    return np.array([{"X": 2.0, "0": 0.0, "-": NAN}[each] for each in points])


def at_the_end(points: str, *, before: bool = False, **changes: Any) -> bool:
    """Whether the alarm is in ALARM after these data points, from either earlier state."""
    text = ("X" if before else "0") * 6 + points
    # What came before is too old to be asked again.
    state = in_alarm(Alarm("s/A", alarm(**changes)), lambda _: series(text), minutes=len(text))
    return bool(state[-1])


@pytest.mark.parametrize("treatment", ["breaching", "notBreaching", "ignore"])
@pytest.mark.parametrize(
    ("needed", "row"), [*((3, each) for each in ALL_OF_THREE), *((2, each) for each in TWO_OF_THREE)]
)
def test_missing_data_as_documented(needed: int, row: tuple[str, bool, bool, bool | None], treatment: str) -> None:
    points, *answers = row
    expected = answers[["breaching", "notBreaching", "ignore"].index(treatment)]
    if expected is None:
        found = [
            at_the_end(points, before=state, DatapointsToAlarm=needed, TreatMissingData="ignore")
            for state in (False, True)
        ]
        assert found == [False, True]
    else:
        assert at_the_end(points, DatapointsToAlarm=needed, TreatMissingData=treatment) is expected


def test_windows_slide_with_every_minute() -> None:
    """A period of five minutes is full five minutes after its first point, wherever the clock's own five begin."""
    minutes = np.array([0.0] * 7 + [1.0] * 5 + [0.0] * 8)
    five = alarm(Period=300, Statistic="Sum", Threshold=4.5, EvaluationPeriods=1, DatapointsToAlarm=1)
    state = in_alarm(Alarm("s/A", five), lambda _: minutes, minutes=len(minutes))
    assert np.flatnonzero(state).tolist() == [11]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a + b", [4.0, NAN, NAN]),
        ("FILL(a, 0) + FILL(b, 0)", [4.0, 2.0, 0.0]),
        ("100 * a / b", [300.0, NAN, NAN]),
        ("IF(a > 2, 1, 0)", [1.0, 0.0, NAN]),
        ("IF(a > 2, a)", [3.0, NAN, NAN]),
        ("IF(a > 1, b, 5)", [1.0, 0.0, NAN]),
        ("IF((a > 1) * (b > 0), a)", [3.0, NAN, NAN]),
        ("IF((FILL(b, 0)) >= 1, 100 * a / b, 0)", [300.0, 0.0, 0.0]),
        ("MAX([a, b])", [3.0, 2.0, NAN]),
        ("SUM([a, b])", [4.0, 2.0, NAN]),
        ("a / 0", [NAN, NAN, NAN]),
    ],
)
def test_metric_math(expression: str, expected: list[float]) -> None:
    known = {"a": np.array([3.0, 2.0, NAN]), "b": np.array([1.0, NAN, NAN])}
    np.testing.assert_array_equal(evaluate(expression, known), expected)


def test_an_unknown_function_is_an_error() -> None:
    with pytest.raises(NotImplementedError, match="ANOMALY"):
        evaluate("ANOMALY_DETECTION_BAND(a)", {"a": np.array([1.0])})


TOPICS = {each: [{"Ref": f"Topic{each.capitalize()}"}] for each in ("critical", "info")}


def notified(symptom: str, cause: str) -> list[tuple[str, int, bool]]:
    """Notifications of two composites, the second suppressed by the first: wait 3 minutes, extension 4."""
    one = {"EvaluationPeriods": 1, "DatapointsToAlarm": 1, "TreatMissingData": "notBreaching"}
    resources = {
        name: {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm(MetricName=name, **one)}
        for name in ("symptom", "cause")
    }

    def composite(child: str, **more: Any) -> dict[str, Any]:
        rule = {"Fn::Join": ["", ['(ALARM("', {"Fn::GetAtt": [child, "Arn"]}, '"))']]}
        actions = {"AlarmActions": TOPICS["critical"], "OKActions": TOPICS["critical"]}
        return {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {"AlarmRule": rule, **actions, **more}}

    resources["Looming"] = composite(
        "cause",
        ActionsSuppressor={"Fn::GetAtt": ["Users", "Arn"]},
        ActionsSuppressorWaitPeriod=180,
        ActionsSuppressorExtensionPeriod=240,
    )
    resources["Users"] = composite("symptom")
    points = {"symptom": symptom, "cause": cause}

    def trace(asked: MetricQuery) -> Any:
        return series(points[asked.name])

    found: list[Message] = messages({"e/S": {"Resources": resources}}, "e", trace, minutes=len(symptom))
    return [(each.alarm.removeprefix("e/S/"), each.minute, each.is_over) for each in found]


def test_a_suppressed_composite_waits_and_then_notifies() -> None:
    assert notified("0" * 20, "00XXXXXX000000000000") == [("Looming", 5, False), ("Looming", 8, True)]


def test_a_suppressed_alarm_notifies_no_one() -> None:
    users = [("Users", 4, False), ("Users", 8, True)]
    assert notified("0000XXXX000000000000", "00XXXXXXXX0000000000") == users
    # Too short for the wait.
    assert notified("0" * 20, "00XX0000000000000000") == []


def test_it_notifies_when_the_cause_stays_after_the_suppressor_is_well() -> None:
    found = notified("0000XXXX000000000000", "00XXXXXXXXXXXXXX0000")
    assert found == [("Users", 4, False), ("Users", 8, True), ("Looming", 12, False), ("Looming", 16, True)]
