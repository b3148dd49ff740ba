from collections.abc import Callable

import aws_cdk as cdk
from aws_cdk import assertions

from infra_constructs.network import Network, NetworkProps

TemplateOf = Callable[[Callable[[cdk.Stack], object]], assertions.Template]


def test_a_newly_published_image_does_not_replace_the_nat_instance(template_of: TemplateOf) -> None:
    """Neither a parameter of the stack, which CloudFormation reads again at each update, nor an id in the template."""
    props = NetworkProps(cidr="10.9.0.0/16", zones=2, nat="instance", interface_endpoints=())
    template = template_of(lambda stack: Network(stack, "Network", props=props))
    template.has_resource_properties(
        "AWS::EC2::Instance",
        {
            "ImageId": assertions.Match.absent(),
            "InstanceType": "t4g.micro",
            "LaunchTemplate": {
                "LaunchTemplateId": {"Ref": assertions.Match.any_value()},
                "Version": {"Fn::GetAtt": [assertions.Match.any_value(), "LatestVersionNumber"]},
            },
        },
    )
    template.has_resource_properties(
        "AWS::EC2::LaunchTemplate",
        {"LaunchTemplateData": {"ImageId": assertions.Match.string_like_regexp("^resolve:ssm:/aws/service/ami-")}},
    )
    parameters = template.to_json().get("Parameters", {})
    assert not [each for each in parameters.values() if "AWS::EC2::Image" in each["Type"]]


def test_a_nat_instance_tries_until_it_can_forward_and_still_forwards_after_a_restart(template_of: TemplateOf) -> None:
    props = NetworkProps(cidr="10.9.0.0/16", zones=2, nat="instance", interface_endpoints=())
    template = template_of(lambda stack: Network(stack, "Network", props=props))
    (instance,) = template.find_resources("AWS::EC2::Instance").values()
    commands = instance["Properties"]["UserData"]["Fn::Base64"]
    assert "until yum install -y iptables-services" in commands
    assert commands.rstrip().endswith("iptables-save > /etc/sysconfig/iptables")
