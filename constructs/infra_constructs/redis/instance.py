"""The interface of a Redis instance of any provider: its URL secret and network access."""

from collections.abc import Sequence

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct


class RedisInstance(Construct):
    """Hardly stateful: its data may be lost (rate limits start again), but an outage must not go unnoticed.

    `url` is a secret whose whole value is the `REDIS_URL` of the application's contract.
    """

    url: secretsmanager.ISecret
    is_ours: bool
    """The secret belongs to this stack; otherwise a person has put it there."""

    @property
    def url_id(self) -> str:
        """Id with which functions read the secret's value."""
        return self.url.secret_arn if self.is_ours else self.url.secret_name

    def allow_from(self, client: ec2.ISecurityGroup, *, as_: str) -> None:
        """Lets a client's security group reach Redis. `as_` names the client."""
        raise NotImplementedError


def allow_outbound(scope: Construct, id_: str, *, client: ec2.ISecurityGroup, ports: Sequence[int]) -> None:
    """Allows connections to servers whose addresses are unknown; TLS and password decide who may use them."""
    for port in ports:
        # A rule of its own: in the group itself it would belong to the stack of the group.
        ec2.CfnSecurityGroupEgress(
            scope,
            f"{id_}{port}",
            group_id=client.security_group_id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            cidr_ip="0.0.0.0/0",
            description="Redis outside of the VPC",
        )
