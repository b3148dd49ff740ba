"""AWS::EC2::NatGateway."""

from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, changed, client, register, tags_of


class NatGateway:
    name = "AWS::EC2::NatGateway"

    def create(self, properties: Properties) -> Provisioned:
        ec2 = client("ec2")
        if properties.get("ConnectivityType", "public") == "public":
            known = {address["AllocationId"] for address in ec2.describe_addresses()["Addresses"]}
            if properties.get("AllocationId") not in known:
                raise ResourceRefused(f"The allocation ID '{properties.get('AllocationId')}' does not exist")
        subnets = {subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]}
        if properties["SubnetId"] not in subnets:
            raise ResourceRefused(f"The subnet ID '{properties['SubnetId']}' does not exist")
        made = ec2.create_nat_gateway(
            SubnetId=properties["SubnetId"],
            AllocationId=properties["AllocationId"],
            TagSpecifications=tags_of("natgateway", properties),
        )["NatGateway"]["NatGatewayId"]
        return Provisioned(made, {"NatGatewayId": made})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self.create(new) if changed(old, new) else Provisioned(physical_id, {"NatGatewayId": physical_id})

    def delete(self, physical_id: str, properties: Properties) -> None:
        client("ec2").delete_nat_gateway(NatGatewayId=physical_id)


def install() -> None:
    register(NatGateway())
