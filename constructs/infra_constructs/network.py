"""The VPC: subnets, NAT, endpoints and flow logs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra_constructs.findings import acknowledge

# So that a third zone can be added later without moving subnets of the first two.
_ZONES_PLANNED_FOR = 3
_TIERS = (
    ("Public", ec2.SubnetType.PUBLIC, 6),
    ("Private", ec2.SubnetType.PRIVATE_WITH_EGRESS, 3),
    ("Isolated", ec2.SubnetType.PRIVATE_ISOLATED, 6),
)


# EC2 looks the parameter up when an instance starts (EC2 user guide, "Create a launch template"): an image that AWS
# publishes changes no template and replaces no instance. Another generation makes a new version of the launch template,
# and with it a new instance of the newest image: that is how to replace one on purpose.
_NAT_IMAGE = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
_NAT_GENERATION = "2026-11"
# CDK's own commands fail where another dnf empties its cache while the instance starts (aws-cdk #36717), and lose the
# rule at a restart: `service` is not in the image.
_FORWARD = (
    "until yum install -y iptables-services; do sleep 5; done",
    "systemctl enable --now iptables",
    "echo net.ipv4.ip_forward=1 > /etc/sysctl.d/nat.conf",
    "sysctl -p /etc/sysctl.d/nat.conf",
    "iptables -t nat -A POSTROUTING -o \"$(ip -4 route show default | awk '{print $5; exit}')\" -j MASQUERADE",
    "iptables -F FORWARD",
    "iptables-save > /etc/sysconfig/iptables",
)


@dataclass(frozen=True, kw_only=True)
class NetworkProps:
    """What an environment may choose."""

    cidr: str
    zones: int
    nat: Literal["per-az", "single", "instance"]
    interface_endpoints: Sequence[str]
    """Short names of AWS services, like `ecr.api`."""


class Network(Construct):
    """Three tiers of subnets over the stack's zones. Isolated ones have no way out, private ones only through NAT."""

    def __init__(self, scope: Construct, id_: str, *, props: NetworkProps) -> None:
        super().__init__(scope, id_)
        prefix = int(props.cidr.partition("/")[2])
        nat = self._nat_provider(props.nat)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(props.cidr),
            max_azs=props.zones,
            reserved_azs=_ZONES_PLANNED_FOR - props.zones,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name=name,
                    subnet_type=kind,
                    cidr_mask=prefix + bits,
                    # Nothing gets a public address by being placed somewhere; NAT and ALB bring their own.
                    map_public_ip_on_launch=False if kind is ec2.SubnetType.PUBLIC else None,
                )
                for name, kind, bits in _TIERS
            ],
            nat_gateways=props.zones if props.nat == "per-az" else 1,
            nat_gateway_provider=nat,
            restrict_default_security_group=True,
            # The gateway to S3 is free; traffic to S3 over NAT is billed twice.
            gateway_endpoints={"S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3)},
        )
        if isinstance(nat, ec2.NatInstanceProviderV2):
            nat.connections.allow_from(ec2.Peer.ipv4(props.cidr), ec2.Port.all_traffic(), "From the private subnets")
        self.nat_gateways = [child.ref for child in self.vpc.node.find_all() if isinstance(child, ec2.CfnNatGateway)]
        """Ids of the managed gateways; none when the environment chose an instance."""
        for child in self.vpc.node.find_all():
            if isinstance(child, ec2.CfnInstance):
                self._keep_image(child)
        self._accept_plain_instances()
        self._log_flows()
        self._add_endpoints(props.interface_endpoints)

    def _nat_provider(self, kind: Literal["per-az", "single", "instance"]) -> ec2.NatProvider:
        match kind:
            case "per-az" | "single":
                return ec2.NatProvider.gateway()
            case "instance":
                commands = ec2.UserData.for_linux()
                commands.add_commands(*_FORWARD)
                return ec2.NatProvider.instance_v2(
                    user_data=commands,
                    instance_type=ec2.InstanceType("t4g.micro"),
                    # Replaced by the launch template's.
                    machine_image=ec2.MachineImage.generic_linux({cdk.Stack.of(self).region: "ami-unused"}),
                    default_allowed_traffic=ec2.NatTrafficDirection.OUTBOUND_ONLY,
                    associate_public_ip_address=True,
                    credit_specification=ec2.CpuCredits.STANDARD,
                )
            case _:
                assert_never(kind)

    def _keep_image(self, instance: ec2.CfnInstance) -> None:
        template = ec2.CfnLaunchTemplate(
            self,
            "NatTemplate",
            version_description=_NAT_GENERATION,
            launch_template_data=ec2.CfnLaunchTemplate.LaunchTemplateDataProperty(
                image_id=_NAT_IMAGE,
                # IMDSv2: server-side request forgery does not get its credentials.
                metadata_options=ec2.CfnLaunchTemplate.MetadataOptionsProperty(http_tokens="required"),
            ),
        )
        instance.image_id = None
        instance.launch_template = ec2.CfnInstance.LaunchTemplateSpecificationProperty(
            launch_template_id=template.ref, version=template.attr_latest_version_number
        )

    def _log_flows(self) -> None:
        group = logs.LogGroup(
            self,
            "FlowLogs",
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        self.vpc.add_flow_log(
            "FlowLog",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(group),
            # Accepted traffic is the bulk of the bill and answers few questions; what was refused answers most.
            traffic_type=ec2.FlowLogTrafficType.REJECT,
            max_aggregation_interval=ec2.FlowLogMaxAggregationInterval.TEN_MINUTES,
        )

    def _add_endpoints(self, services: Sequence[str]) -> None:
        for service in services:
            endpoint = self.vpc.add_interface_endpoint(
                "".join(part.capitalize() for part in service.split(".")),
                service=ec2.InterfaceVpcEndpointAwsService(service),
                subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            )
            for group in endpoint.connections.security_groups:
                acknowledge(
                    group,
                    "AwsSolutions-EC23",
                    reason="The rule cannot read the VPC's CIDR through a reference; only this VPC is let in.",
                )

    def _accept_plain_instances(self) -> None:
        reasons = {
            "AwsSolutions-EC26": "The NAT instance's disk holds a stock operating system and no data.",
            "AwsSolutions-EC28": "A NAT instance of a disposable environment needs no metrics of each minute.",
            "AwsSolutions-EC29": "Losing the NAT instance is the accepted price of the environment that chose it.",
        }
        for child in self.vpc.node.find_all():
            if isinstance(child, ec2.CfnInstance):
                for finding, reason in reasons.items():
                    acknowledge(child, finding, reason=reason)
