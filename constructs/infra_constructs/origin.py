"""Who may open a connection to the load balancer: Cloudflare's network, and nobody else."""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction
from infra_constructs.memory import Memory

# Each entry that the list may ever hold counts against the sixty rules of a security group.
_ROOM_FOR_RANGES = 40


class OriginAccess(Construct):
    """The load balancer's security group. It lives with the network, as the services' groups name it."""

    def __init__(self, scope: Construct, id_: str, *, vpc: ec2.IVpc, memory: Memory, environment: str) -> None:
        super().__init__(scope, id_)
        ranges = ec2.PrefixList(
            self, "CloudflareIpv4", address_family=ec2.AddressFamily.IP_V4, max_entries=_ROOM_FOR_RANGES
        )
        # A function keeps the entries. CDK writes an empty list, and the next change of anything else would restore it.
        resource = ranges.node.default_child
        assert isinstance(resource, ec2.CfnPrefixList)
        resource.add_property_deletion_override("Entries")
        self.refresher = self._refresher(ranges, memory, environment)
        self.security_group = ec2.SecurityGroup(
            self,
            "LoadBalancer",
            vpc=vpc,
            description="HTTPS from Cloudflare only",
            allow_all_outbound=False,
        )
        self.security_group.add_ingress_rule(
            ec2.Peer.prefix_list(ranges.prefix_list_id), ec2.Port.tcp(443), "HTTPS from Cloudflare"
        )

    def _refresher(self, ranges: ec2.PrefixList, memory: Memory, environment: str) -> RuntimeFunction:
        handler = RuntimeFunction(
            self,
            "Refresher",
            module="cloudflare_ranges",
            description="Keeps the prefix list of Cloudflare's addresses",
            timeout=cdk.Duration.minutes(1),
            environment={"MEMORY": memory.prefix, "ENVIRONMENT": environment},
            uses_libraries=True,
        )
        memory.grant(handler, writes=True)
        handler.role.add_to_policy(
            iam.PolicyStatement(
                actions=["ec2:GetManagedPrefixListEntries", "ec2:ModifyManagedPrefixList"],
                resources=[ranges.prefix_list_arn],
            )
        )
        handler.role.add_to_policy(
            iam.PolicyStatement(actions=["ec2:DescribeManagedPrefixLists"], resources=["*"])
        )  # fmt: skip
        acknowledge(handler.policy, allows_on("*"), reason="Describing prefix lists is not granted one by one.")
        properties = {"PrefixList": ranges.prefix_list_id}
        handler.resource(self, "Ranges", kind="Custom::CloudflareRanges", properties=properties)
        handler.run_every(
            cdk.Duration.hours(1),
            self,
            "Hourly",
            description="Cloudflare publishes a new range before it is used",
            event=properties,
        )
        return handler
