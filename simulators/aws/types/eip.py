"""AWS::EC2::EIP."""

from simulators.aws.resource_type import Properties, Provisioned, client, register, tags_of


class ElasticIp:
    name = "AWS::EC2::EIP"

    def create(self, properties: Properties) -> Provisioned:
        made = client("ec2").allocate_address(
            Domain=properties.get("Domain", "vpc"), TagSpecifications=tags_of("elastic-ip", properties)
        )
        return Provisioned(made["PublicIp"], {"AllocationId": made["AllocationId"], "PublicIp": made["PublicIp"]})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        found = client("ec2").describe_addresses(PublicIps=[physical_id])["Addresses"][0]
        return Provisioned(physical_id, {"AllocationId": found["AllocationId"], "PublicIp": physical_id})

    def delete(self, physical_id: str, properties: Properties) -> None:
        ec2 = client("ec2")
        for address in ec2.describe_addresses()["Addresses"]:
            if address["PublicIp"] == physical_id:
                ec2.release_address(AllocationId=address["AllocationId"])


def install() -> None:
    register(ElasticIp())
