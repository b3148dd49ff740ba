"""AWS::EC2::FlowLog."""

from ministack.core.responses import get_region

from rehearsal.emulator.authorization import Need, denial_of
from rehearsal.emulator.resource_type import Properties, Provisioned, Refused, changed, client, register
from rehearsal.emulator.service_principals import can_enter


class FlowLog:
    name = "AWS::EC2::FlowLog"

    def create(self, properties: Properties) -> Provisioned:
        if properties.get("LogDestinationType", "cloud-watch-logs") == "cloud-watch-logs" and not properties.get(
            "DeliverLogsPermissionArn"
        ):
            raise Refused("DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs")
        destination = {
            key: properties[key] for key in ("LogGroupName", "LogDestination") if properties.get(key) is not None
        }
        made = client("ec2").create_flow_logs(
            ResourceIds=[properties["ResourceId"]],
            ResourceType=properties["ResourceType"],
            TrafficType=properties.get("TrafficType", "ALL"),
            LogDestinationType=properties.get("LogDestinationType", "cloud-watch-logs"),
            DeliverLogsPermissionArn=properties.get("DeliverLogsPermissionArn", ""),
            MaxAggregationInterval=int(properties.get("MaxAggregationInterval", 600)),
            **destination,
        )["FlowLogIds"][0]
        if role := properties.get("DeliverLogsPermissionArn"):
            _deliver(role, properties["LogGroupName"], made)
        return Provisioned(made, {"Id": made})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self.create(new) if changed(old, new) else Provisioned(physical_id, {"Id": physical_id})

    def delete(self, physical_id: str, properties: Properties) -> None:
        client("ec2").delete_flow_logs(FlowLogIds=[physical_id])


def _deliver(role: str, group: str, flow_log: str) -> None:
    """What VPC does for the first records (its guide, "IAM role for publishing flow logs to CloudWatch Logs").

    A denial shows in the flow log's `DeliverLogsErrorMessage` only; here it is recorded.
    """
    account, region = role.split(":")[4], get_region()
    stream = f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:{flow_log}"
    if can_enter("vpc-flow-logs.amazonaws.com", role):
        actions = ("logs:DescribeLogStreams", "logs:CreateLogStream", "logs:PutLogEvents")
        denial_of(role, flow_log, *(Need(each, stream) for each in actions))


def install() -> None:
    register(FlowLog())
