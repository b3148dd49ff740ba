"""Flow logs contain at least refused connections."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy


@policy(
    reason="After an intrusion, or when a port is closed by mistake, this is the only trace.",
    failure=Failure.UNOBSERVED,
    reads={
        "AWS::EC2::VPC": (),
        "AWS::EC2::FlowLog": ("ResourceId", "ResourceType", "TrafficType", "LogDestinationType", "LogGroupName",
                              "DeliverLogsPermissionArn"),
    },
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    logged = {target.where for each in graph.of("AWS::EC2::FlowLog") if (target := each.target("ResourceId"))}
    for vpc in graph.of("AWS::EC2::VPC"):
        if vpc.where not in logged:
            yield vpc.violation("AWS::EC2::FlowLog", "is missing")
    for each in graph.of("AWS::EC2::FlowLog"):
        yield from each.expect("TrafficType", "REJECT", "ALL")
        yield from each.expect("ResourceType", "VPC")
        yield from each.expect("LogDestinationType", "cloud-watch-logs")
        group, role = each.target("LogGroupName"), each.target("DeliverLogsPermissionArn")
        if group is None or "FlowLogs" not in group.logical_id:
            yield each.violation("LogGroupName", "must refer to a log group")
        if role is None or role.type != "AWS::IAM::Role":
            yield each.violation("DeliverLogsPermissionArn", "must refer to a role")
