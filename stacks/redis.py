"""Redis: the environment's instances, and the probe, gate and alarms of each."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from config import Environment, services
from config.model import RedisInstance as Settings
from infra_constructs.alarms.elasticache import ElastiCacheAlarms
from infra_constructs.alarms.redis import RedisAlarms
from infra_constructs.alarms.redis_purpose import CACHE, QUEUE
from infra_constructs.alarms.upstash import UpstashAlarms
from infra_constructs.redis.elasticache import ElastiCache, ElastiCacheProps
from infra_constructs.redis.events import ElastiCacheEvents
from infra_constructs.redis.external import ExternalRedis
from infra_constructs.redis.instance import RedisInstance
from infra_constructs.redis.probe import RedisProbe
from infra_constructs.redis.upstash import UpstashProps, UpstashRedis
from infra_runtime.contract.names import upstash_database
from stacks.base import EnvironmentStack
from stacks.data import DataExports
from stacks.network import NetworkExports
from stacks.platform import PlatformExports
from stacks.retention import retention_of


@dataclass(frozen=True, kw_only=True)
class RedisExports:
    """What later stacks take from this one."""

    url: secretsmanager.ISecret
    """REDIS_URL of the serving instance."""
    queue: secretsmanager.ISecret | None
    """REDIS_QUEUE_URL, where there is a queue."""


class RedisStack(EnvironmentStack):
    """A migration adds an instance, switches to it and deletes the old one, in three deployments
    (docs/runbooks/redis-migrate.md)."""

    def __init__(
        self,
        scope: cdk.Stage,
        id_: str,
        *,
        environment: Environment,
        network: NetworkExports,
        data: DataExports,
        platform: PlatformExports,
    ) -> None:
        super().__init__(scope, id_, environment=environment, description="Redis and its probe")
        self._environment, self._network, self._data, self._platform = environment, network, data, platform
        # One scope for each kind of construct, so that the ids in it are the instances' names.
        kinds = ("Instances", "Events", "Probes", "Gate", "Alarms", "Nodes", "Limits")
        self._scopes = {kind: Construct(self, kind) for kind in kinds}
        instances = {name: self._add(name, each) for name, each in environment.redis.instances.items()}
        queue = environment.redis.queue
        self.exports = RedisExports(
            url=instances[environment.redis.serves].url, queue=instances[queue].url if queue else None
        )

    def _add(self, name: str, settings: Settings) -> RedisInstance:
        network, topics = self._network, self._platform.topics
        instance = self._instance(name, settings)
        redis, purpose = self._environment.redis, CACHE if settings.eviction else QUEUE
        users = services.on_redis(self._environment, eviction=settings.eviction)
        for service in users:
            instance.allow_from(network.access[service], as_=services.words(service))
        serves = name == redis.serves
        probe = RedisProbe(
            self._scopes["Probes"],
            name,
            vpc=network.vpc,
            instance=instance,
            environment=self.environment_name,
            name=name,
            # Only the serving instance is in use by services.
            health_urls=[
                f"https://{each.host}{each.redis_health_path}" for each in users.values() if each.redis_health_path
            ]
            if serves
            else [],
            may_evict=settings.eviction,
            queues={worker: each.keys for worker, each in services.queues(self._environment).items()}
            if name == redis.queue
            else None,
            # The prefix of stacks/preview.py, with a lease id that no preview can have.
            preview_key_prefix="preview-probe:" if serves and self._environment.previews else None,
        )
        if instance.is_ours:
            # Exported even while unused: CloudFormation refuses to remove an export that a service still imports.
            self.export_value(instance.url.secret_arn)
        if name in (redis.serves, redis.queue):
            probe.gate(self._scopes["Gate"], name)
            RedisAlarms(
                self._scopes["Alarms"],
                name,
                environment=self.environment_name,
                instance=name,
                purpose=purpose,
                has_memory_metrics=isinstance(instance, ElastiCache),
                topics=topics,
            )
        if isinstance(instance, ElastiCache):
            ElastiCacheAlarms(
                self._scopes["Nodes"],
                name,
                nodes=instance.nodes(),
                node_type=instance.props.node_type,
                purpose=purpose,
                topics=topics,
            )
        if isinstance(instance, UpstashRedis):
            UpstashAlarms(
                self._scopes["Limits"],
                name,
                environment=self.environment_name,
                instance=name,
                purpose=purpose,
                usage=instance.usage,
                topics=topics,
            )
        return instance

    def _instance(self, name: str, settings: Settings) -> RedisInstance:
        if (cache := settings.elasticache) is not None:
            return ElastiCache(
                self._scopes["Instances"],
                name,
                vpc=self._network.vpc,
                key=self._data.key,
                events=ElastiCacheEvents(self._scopes["Events"], name, topics=self._platform.topics).topic,
                props=ElastiCacheProps(
                    engine=cache.engine,
                    node_type=cache.node,
                    replicas=cache.replicas,
                    shards=cache.shards,
                    snapshot_days=cache.snapshot_days,
                    eviction=settings.eviction,
                    retention=retention_of(self._environment),
                ),
            )
        if (upstash := settings.upstash) is not None:
            return UpstashRedis(
                self._scopes["Instances"],
                name,
                credentials_secret=upstash.credentials_secret,
                store=self.redis_store,
                props=UpstashProps(
                    environment=self.environment_name,
                    instance=name,
                    database=upstash_database(self.product, self.environment_name, name),
                    region=upstash.region,
                    read_regions=upstash.read_regions,
                    eviction=settings.eviction,
                ),
            )
        assert settings.external is not None
        return ExternalRedis(
            self._scopes["Instances"],
            name,
            url_secret=settings.external.url_secret,
            ports=list(settings.external.ports),
        )
