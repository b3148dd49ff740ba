"""A NAT instance forwards traffic and requires a token for metadata (IMDSv2)."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy


@policy(
    reason="EC2 drops packets that are not for the instance while SourceDestCheck is on.",
    failure=Failure.NAT_FAILS,
    reads={
        "AWS::EC2::Instance": ("SourceDestCheck", "LaunchTemplate", "NetworkInterfaces", "AvailabilityZone"),
        "AWS::EC2::LaunchTemplate": ("LaunchTemplateData",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of("AWS::EC2::Instance"):
        yield from each.expect("SourceDestCheck", False)
        yield from each.expect("AvailabilityZone", *graph.environment.network.availability_zones)
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
                yield each.violation("NetworkInterfaces", "must have a public address: it is the way out")
