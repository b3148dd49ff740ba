"""ElastiCache as the required Redis: TLS, authenticated, and back by itself after losing a node."""

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.findings import acknowledge
from infra_constructs.retention import Retention


@dataclass(frozen=True, kw_only=True)
class RedisProps:
    """What an environment may choose."""

    node_type: str
    replicas: int
    snapshot_days: int
    retention: Retention


class Redis(Construct):
    """Stateful in form only: its data may be lost (rate limits start again), its address may not change by accident.

    `url` is a secret whose whole value is the `REDIS_URL` of the application's contract.
    """

    port = 6379

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        vpc: ec2.IVpc,
        key: kms.IKey,
        clients: Sequence[ec2.ISecurityGroup],
        props: RedisProps,
    ) -> None:
        super().__init__(scope, id_)
        survives_a_node = props.replicas > 0
        self.security_group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, description="Redis from the services", allow_all_outbound=False
        )
        for client in clients:
            self.security_group.connections.allow_from(client, ec2.Port.tcp(self.port))
        # Letters and digits only, so that the token means the same inside a URL and outside of one.
        self.auth_token = secretsmanager.Secret(
            self,
            "AuthToken",
            description="ElastiCache AUTH token; part of the URL beside it",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                exclude_punctuation=True, include_space=False, password_length=64
            ),
        )
        subnets = elasticache.CfnSubnetGroup(
            self,
            "Subnets",
            description="Isolated subnets",
            subnet_ids=vpc.select_subnets(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED).subnet_ids,
        )
        parameters = elasticache.CfnParameterGroup(
            self,
            "Parameters",
            cache_parameter_group_family="valkey8",
            description="Old rate limits give way to new ones when memory is full",
            # Every key expires; the ones nearest to expiry go first rather than refusing writes.
            properties={"maxmemory-policy": "volatile-ttl"},
        )
        self.group = elasticache.CfnReplicationGroup(
            self,
            "Group",
            replication_group_description="Rate limits and distributed state",
            engine="valkey",
            engine_version="8.1",
            cache_node_type=props.node_type,
            num_cache_clusters=1 + props.replicas,
            automatic_failover_enabled=survives_a_node,
            multi_az_enabled=survives_a_node,
            cache_subnet_group_name=subnets.ref,
            cache_parameter_group_name=parameters.ref,
            security_group_ids=[self.security_group.security_group_id],
            port=self.port,
            at_rest_encryption_enabled=True,
            kms_key_id=key.key_arn,
            transit_encryption_enabled=True,
            transit_encryption_mode="required",
            auth_token=self.auth_token.secret_value.unsafe_unwrap(),
            snapshot_retention_limit=props.snapshot_days,
            snapshot_window="00:30-01:30",
            preferred_maintenance_window="sun:02:00-sun:03:00",
            auto_minor_version_upgrade=True,
        )
        self.group.apply_removal_policy(props.retention.snapshots)
        endpoint = self.group.attr_primary_end_point_address
        self.url = secretsmanager.Secret(
            self,
            "Url",
            description="REDIS_URL",
            secret_string_value=cdk.SecretValue.unsafe_plain_text(
                f"rediss://:{self.auth_token.secret_value.unsafe_unwrap()}@{endpoint}:{self.port}/0"
            ),
        )
        if not survives_a_node:
            acknowledge(
                self.group,
                "AwsSolutions-AEC4",
                reason="The environment chose one node: losing it means lost rate limits and nothing more.",
            )
        for secret in (self.auth_token, self.url):
            acknowledge(
                secret,
                "AwsSolutions-SMG4",
                reason="ElastiCache takes a new token by a two-step update: docs/runbooks/redis-rotate-token.md.",
            )
