"""Which instance of the environment's file an ElastiCache resource is."""

from config.model import ElastiCache, RedisInstance
from template_policies.graph import Graph, Resource

GROUP = "AWS::ElastiCache::ReplicationGroup"


def instance(graph: Graph, resource: Resource) -> tuple[RedisInstance | None, ElastiCache | None]:
    """By the logical id, which has the instance's name in it."""
    for name, each in graph.environment.redis.instances.items():
        if resource.logical_id.startswith(f"Instances{name.replace('-', '')}"):
            return each, each.elasticache
    return None, None
