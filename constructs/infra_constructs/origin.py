"""Only Cloudflare's network may open a connection to the load balancer."""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.arns import arn_of
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction
from infra_constructs.state_store import StateStore

# Each entry that the list may ever hold counts against the sixty rules of a security group.
_ROOM_FOR_RANGES = 40


class OriginAccess(Construct):
    """The load balancer's security group. It is in the network's stack, as the services' groups refer to it."""

    def __init__(self, scope: Construct, id_: str, *, vpc: ec2.IVpc, store: StateStore, environment: str) -> None:
        super().__init__(scope, id_)
        name = f"{cdk.Stack.of(self).stack_name}-cloudflare"
        self.refresher = self._refresher(name, store, environment)
        # Not AWS::EC2::PrefixList: CloudFormation may remove entries that its template does not have (adr/0010).
        ranges = self.refresher.resource(
            self,
            "Ranges",
            kind="Custom::CloudflareRanges",
            properties={"Name": name, "MaxEntries": str(_ROOM_FOR_RANGES)},
        )
        self.refresher.run_every(
            cdk.Duration.hours(1),
            self,
            "Hourly",
            description="Cloudflare publishes a new range before it is used",
            event={"PrefixList": ranges.ref},
        )
        self.security_group = ec2.SecurityGroup(
            self,
            "LoadBalancer",
            vpc=vpc,
            description="HTTPS from Cloudflare only",
            allow_all_outbound=False,
        )
        self.security_group.add_ingress_rule(
            ec2.Peer.prefix_list(ranges.ref), ec2.Port.tcp(443), "HTTPS from Cloudflare"
        )

    def _refresher(self, name: str, store: StateStore, environment: str) -> RuntimeFunction:
        handler = RuntimeFunction(
            self,
            "Refresher",
            module="cloudflare_ranges",
            description="Keeps the prefix list of Cloudflare's addresses",
            # EC2 makes up to three changes, one after the other.
            timeout=cdk.Duration.minutes(5),
            environment={"STATE_STORE": store.prefix, "ENVIRONMENT": environment},
            uses_libraries=True,
        )
        store.grant(handler, writes=True)
        lists = arn_of(self, "ec2", "prefix-list/*")
        for whose, actions in (
            ("aws:RequestTag/owner", ["ec2:CreateManagedPrefixList"]),
            (
                "aws:ResourceTag/owner",
                ["ec2:GetManagedPrefixListEntries", "ec2:ModifyManagedPrefixList", "ec2:DeleteManagedPrefixList"],
            ),
        ):
            handler.role.add_to_policy(
                iam.PolicyStatement(actions=actions, resources=[lists], conditions={"StringEquals": {whose: name}})
            )
        handler.role.add_to_policy(
            iam.PolicyStatement(
                actions=["ec2:CreateTags"],
                resources=[lists],
                conditions={"StringEquals": {"ec2:CreateAction": "CreateManagedPrefixList"}},
            )
        )
        handler.role.add_to_policy(
            iam.PolicyStatement(actions=["ec2:DescribeManagedPrefixLists"], resources=["*"])
        )  # fmt: skip
        acknowledge(handler.policy, allows_on(lists), reason="A list has no name before it is made, only a number.")
        acknowledge(handler.policy, allows_on("*"), reason="Describing prefix lists is not granted one by one.")
        return handler
