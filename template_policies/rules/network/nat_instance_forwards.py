"""A NAT instance forwards traffic, has memory to install iptables, and requires a token for metadata (IMDSv2)."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

# With 512 MB, Amazon Linux 2023 may kill the package manager that is to install iptables (amazon-linux-2023 #404).
_TOO_SMALL = (".nano",)
# The script retries while another package manager runs (aws-cdk #36717), and keeps the rule for the next start.
_COMMANDS = ("until yum install", "ip_forward=1", "MASQUERADE", "iptables-save >")


@policy(
    reason="EC2 drops packets that are not for the instance while SourceDestCheck is on.",
    failure=Failure.NAT_FAILS,
    reads={
        "AWS::EC2::Instance": (
            "SourceDestCheck",
            "InstanceType",
            "UserData",
            "LaunchTemplate",
            "NetworkInterfaces",
            "AvailabilityZone",
        ),
        "AWS::EC2::LaunchTemplate": ("LaunchTemplateData",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of("AWS::EC2::Instance"):
        yield from each.expect("SourceDestCheck", False)
        if str(each.get("InstanceType")).endswith(_TOO_SMALL):
            yield each.violation("InstanceType", f"is {each.get('InstanceType')}, which has 512 MB, must have more")
        yield from each.expect("AvailabilityZone", *graph.environment.network.availability_zones)
        commands = str(each.get("UserData.Fn::Base64"))
        if missing := [part for part in _COMMANDS if part not in commands]:
            yield each.violation("UserData", f"lacks {', '.join(missing)}")
        template = each.target("LaunchTemplate.LaunchTemplateId")
        if template is None or template.type != "AWS::EC2::LaunchTemplate":
            yield each.violation("LaunchTemplate", "must refer to the template that pins its image")
        else:
            yield from template.expect("LaunchTemplateData.MetadataOptions.HttpTokens", "required")
            if not str(template.get("LaunchTemplateData.ImageId")).startswith(
                "resolve:ssm:/aws/service/ami-amazon-linux"
            ):
                yield template.violation("LaunchTemplateData", "must take AWS's own image")
        for interface in each.items("NetworkInterfaces"):
            if interface.get("AssociatePublicIpAddress") is not True:
                yield each.violation("NetworkInterfaces", "must have a public address, as it forwards to the internet")
