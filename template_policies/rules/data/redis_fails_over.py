"""Redis has the nodes of the environment's file, automatic failover if there are several, and snapshots."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.elasticache import GROUP, instance

PARAMETERS = "AWS::ElastiCache::ParameterGroup"


@policy(
    reason="A single node is down while it is patched; a queue whose memory evicts loses jobs (docs/adr/0022).",
    failure=Failure.REDIS_FAILS,
    reads={
        GROUP: (
            "AutomaticFailoverEnabled",
            "MultiAZEnabled",
            "NumCacheClusters",
            "NumNodeGroups",
            "ReplicasPerNodeGroup",
            "CacheNodeType",
            "SnapshotRetentionLimit",
            "SnapshotWindow",
            "PreferredMaintenanceWindow",
            "EngineVersion",
            "Engine",
            "AutoMinorVersionUpgrade",
            "CacheParameterGroupName",
            "Port",
            "NotificationTopicArn",
            "DataTieringEnabled",
            "UpdatePolicy",
        ),
        PARAMETERS: ("Properties", "CacheParameterGroupFamily"),
        "AWS::SNS::Topic": (),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(GROUP):
        own, wanted = instance(graph, each)
        if wanted is None or own is None:
            yield each.violation("CacheNodeType", "is of no instance in the environment's file")
            continue
        several = wanted.replicas > 0
        yield from each.expect("AutomaticFailoverEnabled", several or wanted.shards is not None)
        yield from each.expect("MultiAZEnabled", several)
        if wanted.shards is None:
            yield from each.expect("NumCacheClusters", wanted.replicas + 1)
        else:
            yield from each.expect("NumNodeGroups", wanted.shards)
            yield from each.expect("ReplicasPerNodeGroup", wanted.replicas)
        yield from each.expect("CacheNodeType", wanted.node)
        yield from each.expect("SnapshotRetentionLimit", wanted.snapshot_days)
        yield from each.expect("SnapshotWindow", "00:30-01:30")
        yield from each.expect("PreferredMaintenanceWindow", "sun:02:00-sun:03:00")
        engine, _, version = wanted.engine.partition("-")
        yield from each.expect("Engine", engine)
        yield from each.expect("EngineVersion", version)
        yield from each.expect("AutoMinorVersionUpgrade", True)
        yield from each.expect("Port", 6379)
        topic = each.target("NotificationTopicArn")
        if topic is None or topic.type != "AWS::SNS::Topic":
            yield each.violation("NotificationTopicArn", "must refer to a topic: a failover notifies there only")
        group = each.target("CacheParameterGroupName")
        if group is None or group.type != PARAMETERS:
            yield each.violation(
                "CacheParameterGroupName", "must refer to our own group: the default one is volatile-lru"
            )
            continue
        yield from group.expect("Properties.maxmemory-policy", "volatile-ttl" if own.eviction else "noeviction")
        yield from group.expect("CacheParameterGroupFamily", f"{engine}{version.partition('.')[0]}")
