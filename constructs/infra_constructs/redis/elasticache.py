"""ElastiCache: TLS, authentication, and automatic recovery from the loss of a node."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra_constructs.findings import acknowledge
from infra_constructs.redis.instance import RedisInstance
from infra_constructs.retention import Retention
from infra_runtime.contract.redis_url import PORT

# Engine and version → family of its parameters.
_FAMILIES: Mapping[tuple[str, str], str] = MappingProxyType(
    {("valkey", "7.2"): "valkey7", ("valkey", "8.0"): "valkey8", ("valkey", "8.1"): "valkey8"}
)


@dataclass(frozen=True, kw_only=True)
class ElastiCacheProps:
    """What an environment may choose."""

    engine: str
    """Engine and version, like `valkey-8.1`."""
    node_type: str
    replicas: int
    """Replicas of the primary; in cluster mode, of each shard's primary."""
    shards: int | None
    """Cluster mode with so many; None is one primary with everything."""
    snapshot_days: int
    eviction: bool
    """Whether keys are evicted when memory is full; otherwise writes fail."""
    retention: Retention


class ElastiCache(RedisInstance):
    """A replication group of its own, in isolated subnets."""

    port = PORT
    is_ours = True

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        vpc: ec2.IVpc,
        key: kms.IKey,
        events: sns.ITopic,
        props: ElastiCacheProps,
    ) -> None:
        super().__init__(scope, id_)
        self.props = props
        survives_a_node, is_cluster = props.replicas > 0, props.shards is not None
        engine, _, version = props.engine.partition("-")
        self.security_group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, description="Redis from the services", allow_all_outbound=False
        )
        # Letters and digits only, so that the token means the same inside a URL and outside of one.
        auth_token = secretsmanager.Secret(
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
        family = _FAMILIES[engine, version]
        parameters = elasticache.CfnParameterGroup(
            self,
            # A new version may need other parameters: then both groups are there while the nodes are upgraded. And
            # CloudFormation changes no description.
            f"Parameters{family.capitalize()}"
            + ("Cluster" if is_cluster else "")
            + ("" if props.eviction else "NoEviction"),
            cache_parameter_group_family=family,
            description="Old rate limits give way to new ones when memory is full"
            if props.eviction
            else "Writes fail when memory is full, and no key is lost",
            properties={
                # In a cache every key expires; the ones nearest to expiry go first rather than refusing writes. BullMQ
                # works with noeviction only (its documentation, "Going to production").
                "maxmemory-policy": "volatile-ttl" if props.eviction else "noeviction",
                **({"cluster-enabled": "yes"} if is_cluster else {}),
            },
        )
        self.group = elasticache.CfnReplicationGroup(
            self,
            "Group",
            replication_group_description="Rate limits and distributed state" if props.eviction else "Jobs that wait",
            engine=engine,
            engine_version=version,
            cache_node_type=props.node_type,
            cluster_mode="enabled" if is_cluster else None,
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
            auth_token=auth_token.secret_value.unsafe_unwrap(),
            notification_topic_arn=events.topic_arn,
            snapshot_retention_limit=props.snapshot_days,
            snapshot_window="00:30-01:30",
            preferred_maintenance_window="sun:02:00-sun:03:00",
            auto_minor_version_upgrade=True,
            num_cache_clusters=None if is_cluster else 1 + props.replicas,
            num_node_groups=props.shards,
            replicas_per_node_group=props.replicas if is_cluster else None,
            # AWS FIS finds it by tags only, and CloudFormation may not pass the stack's tags on to this type
            # (cloudformation-coverage-roadmap #1196, #2125).
            tags=[cdk.CfnTag(key=key, value=value) for key, value in cdk.Stack.of(self).tags.tag_values().items()],
        )
        # Shards are added and removed while it serves; without this, the whole group would be replaced.
        self.group.cfn_options.update_policy = cdk.CfnUpdatePolicy(use_online_resharding=True)
        self.group.apply_removal_policy(props.retention.snapshots)
        endpoint = (
            self.group.attr_configuration_end_point_address if is_cluster else self.group.attr_primary_end_point_address
        )
        token = auth_token.secret_value.unsafe_unwrap()
        path = "/0?cluster=true" if is_cluster else "/0"
        self.url = secretsmanager.Secret(
            self,
            "Url",
            description="REDIS_URL",
            secret_string_value=cdk.SecretValue.unsafe_plain_text(f"rediss://:{token}@{endpoint}:{self.port}{path}"),
        )
        if not survives_a_node:
            acknowledge(
                self.group,
                "AwsSolutions-AEC4",
                reason="The environment chose one node: losing it means lost rate limits and nothing more."
                if props.eviction
                else "The environment chose one node: losing it means the jobs since the last snapshot.",
            )
        for secret in (auth_token, self.url):
            acknowledge(
                secret,
                "AwsSolutions-SMG4",
                reason="ElastiCache takes a new token by a two-step update: docs/runbooks/redis-rotate-token.md.",
            )

    def allow_from(self, client: ec2.ISecurityGroup, *, as_: str) -> None:
        self.security_group.connections.allow_from(client, ec2.Port.tcp(self.port), f"Redis from {as_}")

    def nodes(self) -> dict[str, list[str]]:
        """Ids of all nodes, by the name of their shard, which is empty when there are none."""
        shards, group = self.props.shards, self.group.ref
        members = range(1, 2 + self.props.replicas)
        if shards is None:
            return {"": [f"{group}-{member:03d}" for member in members]}
        return {
            f"Shard{shard}": [f"{group}-{shard:04d}-{member:03d}" for member in members]
            for shard in range(1, 1 + shards)
        }
