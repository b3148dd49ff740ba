"""The database has enhanced monitoring, insights, and logs in CloudWatch."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

DATABASE = "AWS::RDS::DBInstance"


@policy(
    reason="With them a slow query is found within an hour, without them only by guessing.",
    failure=Failure.UNOBSERVED,
    reads={
        DATABASE: ("MonitoringInterval", "MonitoringRoleArn", "EnablePerformanceInsights", "DatabaseInsightsMode",
                   "PerformanceInsightsRetentionPeriod", "EnableCloudwatchLogsExports"),
        "Custom::LogRetention": ("LogGroupName", "RetentionInDays", "ServiceToken"),
    },
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    mode = graph.environment.database.insights
    for each in graph.of(DATABASE):
        yield from each.expect("MonitoringInterval", 60)
        role = each.target("MonitoringRoleArn")
        if role is None or role.type != "AWS::IAM::Role":
            yield each.violation("MonitoringRoleArn", "must refer to a role")
        yield from each.expect("EnablePerformanceInsights", True)
        yield from each.expect("DatabaseInsightsMode", mode)
        # Advanced Database Insights require a retention of fifteen months.
        yield from each.expect("PerformanceInsightsRetentionPeriod", 465 if mode == "advanced" else 7)
        yield from each.expect("EnableCloudwatchLogsExports", ["postgresql", "upgrade"])
        kept = {one.text(one.get("LogGroupName")).rpartition("/")[2] for one in graph.of("Custom::LogRetention")}
        for name in each.items("EnableCloudwatchLogsExports"):
            if name not in kept:
                yield each.violation("EnableCloudwatchLogsExports", f"keeps {name} forever: no Custom::LogRetention")
    for one in graph.of("Custom::LogRetention"):
        yield from one.expect("RetentionInDays", 90)
        if one.target("ServiceToken") is None:
            yield one.violation("ServiceToken", "must refer to a function")
