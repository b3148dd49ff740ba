"""Redis that is not managed here: Sentinel, Cluster, Redis Cloud, your own server. Only its URL is known."""

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.redis.instance import RedisInstance, allow_outbound


class ExternalRedis(RedisInstance):
    """`url_secret` names a secret that a person has put there; its value is a `REDIS_URL` with TLS and a password."""

    is_ours = False

    def __init__(self, scope: Construct, id_: str, *, url_secret: str, ports: list[int]) -> None:
        super().__init__(scope, id_)
        self._ports = ports
        self.url = secretsmanager.Secret.from_secret_name_v2(self, "Url", url_secret)

    def allow_from(self, client: ec2.ISecurityGroup, *, as_: str) -> None:
        allow_outbound(self, as_, client=client, ports=self._ports)
