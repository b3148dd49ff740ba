"""AWS::CloudWatch::Alarm: MiniStack refuses metric math. Kept here, as given, and not evaluated."""

from typing import Any

from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

from simulators.aws.resource_type import ResourceRefused

_ONE_METRIC = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Dimensions", "Unit")
_NOT_EVALUATED = {"MetricName": "metric-math", "Namespace": "metric-math"}


def _checked(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The queries of an alarm. Refuses what PutMetricAlarm refuses: two results, none, or a name used twice."""
    results = [query for query in metrics if str(query.get("ReturnData", "true")).lower() == "true"]
    if len(results) != 1:
        raise ResourceRefused("Exactly one element of the metrics list should return data.")
    ids = [query["Id"] for query in metrics]
    if len(set(ids)) != len(ids):
        raise ResourceRefused("Metrics list must have unique values of Id.")
    for query in metrics:
        if ("Expression" in query) == ("MetricStat" in query):
            raise ResourceRefused(f"Either Expression or MetricStat must be set for {query['Id']}.")
    return metrics


def install() -> None:
    own_record = provisioners._cw_metric_alarm_record
    own_answer = cloudwatch._cbor_alarm

    def record(name: str, properties: dict[str, Any]) -> dict[str, Any]:
        metrics = properties.get("Metrics")
        if not metrics:
            return dict(own_record(name, properties))
        if taken := [key for key in _ONE_METRIC if properties.get(key)]:
            raise ResourceRefused(f"{taken[0]} must not be set together with Metrics.")
        plain = {key: value for key, value in properties.items() if key != "Metrics"} | _NOT_EVALUATED
        return {**own_record(name, plain), "Metrics": _checked(metrics)}

    def answer(alarm: dict[str, Any]) -> dict[str, Any]:
        if "Metrics" not in alarm:
            return dict(own_answer(alarm))
        found = {key: value for key, value in own_answer(alarm).items() if key not in _ONE_METRIC}
        return {**found, "Metrics": alarm["Metrics"]}

    provisioners._cw_metric_alarm_record = record
    cloudwatch._cbor_alarm = answer
