"""Which instance of the environment's file an ElastiCache resource is."""

from config.model import ElastiCache, RedisInstance
from template_policies.graph import Graph, Resource

GROUP = "AWS::ElastiCache::ReplicationGroup"


def instance(graph: Graph, resource: Resource) -> tuple[RedisInstance | None, ElastiCache | None]:
    """The instance of a resource, found by the logical id, which contains the instance's name."""
    for name, each in graph.environment.redis.instances.items():
        if resource.logical_id.startswith(f"Instances{name.replace('-', '')}"):
            return each, each.elasticache
    return None, None
