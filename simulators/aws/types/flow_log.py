"""AWS::EC2::FlowLog."""

from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, changed, client, register


class FlowLog:
    name = "AWS::EC2::FlowLog"

    def create(self, properties: Properties) -> Provisioned:
        if properties.get("LogDestinationType", "cloud-watch-logs") == "cloud-watch-logs" and not properties.get(
            "DeliverLogsPermissionArn"
        ):
            raise ResourceRefused("DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs")
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
        return Provisioned(made, {"Id": made})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self.create(new) if changed(old, new) else Provisioned(physical_id, {"Id": physical_id})

    def delete(self, physical_id: str, properties: Properties) -> None:
        client("ec2").delete_flow_logs(FlowLogIds=[physical_id])


def install() -> None:
    register(FlowLog())
