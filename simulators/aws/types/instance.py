"""AWS::EC2::Instance, as far as a NAT instance needs it."""

from ministack.services import ec2 as ec2_service

from simulators.aws.resource_type import Properties, Provisioned, changed, client, register, tags_of

_PARAMETER = "resolve:ssm:"


def _image(properties: Properties) -> str:
    """EC2 looks a launch template's parameter up when the instance starts (its guide, "Create a launch template")."""
    if "ImageId" in properties:
        return str(properties["ImageId"])
    wanted = properties["LaunchTemplate"]
    versions = ec2_service._launch_templates[wanted["LaunchTemplateId"]]["Versions"]
    version = next(each for each in versions if str(each["VersionNumber"]) == str(wanted["Version"]))
    image = str(version["LaunchTemplateData"]["ImageId"])
    if not image.startswith(_PARAMETER):
        return image
    found = client("ssm").get_parameter(Name=image.removeprefix(_PARAMETER))
    return str(found["Parameter"]["Value"])


class Instance:
    name = "AWS::EC2::Instance"

    def create(self, properties: Properties) -> Provisioned:
        # Either the subnet and groups stand at the top, or inside the first network interface, never both.
        interface = (properties.get("NetworkInterfaces") or [{}])[0]
        made = client("ec2").run_instances(
            ImageId=_image(properties),
            InstanceType=properties["InstanceType"],
            SubnetId=properties.get("SubnetId") or interface["SubnetId"],
            SecurityGroupIds=properties.get("SecurityGroupIds") or interface.get("GroupSet", []),
            MinCount=1,
            MaxCount=1,
            TagSpecifications=tags_of("instance", properties),
        )["Instances"][0]
        identity = made["InstanceId"]
        # Not through the API: MiniStack has no ModifyInstanceAttribute.
        ec2_service._instances[identity]["SourceDestCheck"] = (
            str(properties.get("SourceDestCheck", "true")).lower() == "true"
        )
        return Provisioned(identity, self._attributes(identity))

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        if changed(old, new):
            return self.create(new)
        return Provisioned(physical_id, self._attributes(physical_id))

    def delete(self, physical_id: str, properties: Properties) -> None:
        client("ec2").terminate_instances(InstanceIds=[physical_id])

    @staticmethod
    def _attributes(identity: str) -> dict[str, str]:
        found = client("ec2").describe_instances(InstanceIds=[identity])["Reservations"][0]["Instances"][0]
        return {"InstanceId": identity, "PrivateIp": found["PrivateIpAddress"]}


def install() -> None:
    register(Instance())
