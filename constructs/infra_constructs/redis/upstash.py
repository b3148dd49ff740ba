"""A database at Upstash, created, updated and deleted with its stack."""

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.findings import acknowledge
from infra_constructs.function import RuntimeFunction
from infra_constructs.redis.instance import RedisInstance, allow_outbound
from infra_constructs.state_store import StateStore
from infra_runtime.contract.redis_url import UPSTASH_PORTS


@dataclass(frozen=True, kw_only=True)
class UpstashProps:
    """What an environment may choose."""

    environment: str
    instance: str
    database: str
    """Name of the database, unique in the Upstash account."""
    region: str
    read_regions: Sequence[str]
    eviction: bool
    """Whether keys are evicted when the database is full; otherwise writes fail."""


class UpstashRedis(RedisInstance):
    """The URL is written into `url` by the provider: no template and no attribute ever holds the password."""

    is_ours = True
    ports = UPSTASH_PORTS

    def __init__(
        self, scope: Construct, id_: str, *, credentials_secret: str, store: StateStore, props: UpstashProps
    ) -> None:
        super().__init__(scope, id_)
        # Without a value until the provider has written one.
        secret = secretsmanager.CfnSecret(self, "Url", description="REDIS_URL")
        acknowledge(
            secret,
            "AwsSolutions-SMG4",
            reason="Upstash makes a new password on request: docs/runbooks/redis-rotate-token.md.",
        )
        self.url = secretsmanager.Secret.from_secret_complete_arn(self, "UrlOfDatabase", secret.ref)
        known = {"CREDENTIALS_SECRET": credentials_secret, "STATE_STORE": store.prefix}
        provider = RuntimeFunction(
            self,
            "Provider",
            module="redis.upstash",
            description="Converges a database at Upstash, and writes its URL into a secret",
            timeout=cdk.Duration.minutes(10),
            environment=known,
            uses_libraries=True,
        )
        self.usage = RuntimeFunction(
            self,
            "Usage",
            module="redis.upstash_usage",
            description="Measures how much of its limits the database at Upstash uses",
            timeout=cdk.Duration.minutes(2),
            environment={
                **known,
                "UPSTASH_DATABASE": props.database,
                "ENVIRONMENT": props.environment,
                "INSTANCE": props.instance,
            },
            uses_libraries=True,
        )
        self.usage.run_every(cdk.Duration.hours(1), self, "Hourly", description="Measures the database's use")
        store.grant(self.usage, writes=False)
        credentials = secretsmanager.Secret.from_secret_name_v2(self, "Credentials", credentials_secret)
        for each in (provider, self.usage):
            credentials.grant_read(each.role)
        self.url.grant_write(provider.role)
        store.grant(provider, writes=True)
        document = {
            "name": props.database,
            "region": props.region,
            "read_regions": list(props.read_regions),
            "eviction": props.eviction,
        }
        provider.resource(
            self,
            "Database",
            kind="Custom::UpstashDatabase",
            properties={"Document": cdk.Stack.of(self).to_json_string(document), "UrlSecret": secret.ref},
        )

    def allow_from(self, client: ec2.ISecurityGroup, *, as_: str) -> None:
        allow_outbound(self, as_, client=client, ports=self.ports)
