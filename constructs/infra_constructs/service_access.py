"""A service's security group. It lives with the network: both the load balancer and the data stores name it."""

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

# A task listens on one port only. With a rule for that port, another port in the environment's file would close it in
# this stack, before the service's stack has moved its tasks (docs/adr/0039).
_PORTS = ec2.Port.tcp_range(1024, 65535)


class ServiceAccess(Construct):
    """A security group without ingress at first; egress only by HTTPS and to what it is connected to."""

    def __init__(self, scope: Construct, id_: str, *, vpc: ec2.IVpc, description: str = "Tasks of one service") -> None:
        super().__init__(scope, id_)
        self.security_group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, description=description, allow_all_outbound=False
        )
        # AWS's own services, Sentry, PostHog: all HTTPS, none with fixed addresses.
        self.security_group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "HTTPS out")

    def allow_from(self, other: "ServiceAccess", *, as_: str) -> None:
        self.security_group.add_ingress_rule(other.security_group, _PORTS, as_)
        other.security_group.add_egress_rule(self.security_group, _PORTS, "To the service")

    def allow_from_load_balancer(self, balancer: ec2.ISecurityGroup) -> None:
        self.security_group.add_ingress_rule(balancer, _PORTS, "From the load balancer")
        balancer.add_egress_rule(self.security_group, _PORTS, "To the service")


def immutable(scope: Construct, id_: str, group: ec2.ISecurityGroup) -> ec2.ISecurityGroup:
    """The group for constructs of CDK that would add a rule for each port; here the rules are all there already."""
    return ec2.SecurityGroup.from_security_group_id(scope, id_, group.security_group_id, mutable=False)
