"""VPC, routes and security groups: the first stack of an environment."""

from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2

from config import Environment, services
from infra_constructs.function import RuntimeFunction
from infra_constructs.network import Network, NetworkProps
from infra_constructs.origin import OriginAccess
from infra_constructs.service_access import ServiceAccess
from stacks.base import EnvironmentStack


@dataclass(frozen=True, kw_only=True)
class NetworkExports:
    """What later stacks take from this one."""

    vpc: ec2.IVpc
    load_balancer_access: ec2.ISecurityGroup
    access: Mapping[str, ec2.ISecurityGroup]
    """Security groups by service."""
    release_checks_access: ec2.ISecurityGroup
    """Security group of the release checks, which send requests to new tasks."""
    cloudflare_ranges: RuntimeFunction
    """Function that keeps the list of Cloudflare's addresses current."""
    nat_gateways: list[str]
    """Ids of the managed gateways; empty when NAT is an instance."""


class NetworkStack(EnvironmentStack):
    """VPC and the security groups that more than one later stack has to name."""

    def __init__(self, scope: cdk.Stage, id_: str, *, environment: Environment) -> None:
        super().__init__(
            scope, id_, environment=environment, description="VPC, routes and security groups", protected=True
        )
        settings = environment.network
        network = Network(
            self,
            "Network",
            props=NetworkProps(
                cidr=settings.cidr,
                zones=len(settings.availability_zones),
                nat=settings.nat,
                interface_endpoints=settings.interface_endpoints,
            ),
        )
        origin = OriginAccess(self, "Origin", vpc=network.vpc, store=self.edge_store, environment=self.environment_name)
        access = {
            name: ServiceAccess(self, f"{services.words(name)}Access", vpc=network.vpc)
            for name in services.on_ecs(environment)
        }
        checks = ServiceAccess(self, "ReleaseChecksAccess", vpc=network.vpc, description="The checks of a release")
        for name in services.load_balanced(environment):
            access[name].allow_from_load_balancer(origin.security_group)
            access[name].allow_from(checks, as_="From the checks of a release")
        self.exports = NetworkExports(
            vpc=network.vpc,
            load_balancer_access=origin.security_group,
            access={name: each.security_group for name, each in access.items()},
            release_checks_access=checks.security_group,
            cloudflare_ranges=origin.refresher,
            nat_gateways=network.nat_gateways,
        )
