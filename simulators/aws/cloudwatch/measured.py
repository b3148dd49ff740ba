"""Metrics that AWS's services publish each minute, measured on the processes that simulate them.

Names, dimensions and units by each service's guide: "CloudWatch metrics for your Application Load Balancer", "Amazon
ECS Container Insights metrics", "Amazon ECS service utilization metrics", "Amazon CloudWatch instance-level metrics for
Amazon RDS", "Metrics for Valkey and Redis OSS". As in AWS, a stopped server has no metrics.
"""

import contextlib
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import psutil
import psycopg
import redis
from ministack.services import alb, cloudwatch, ecs, elasticache, rds

from simulators.aws import database_servers
from simulators.aws.ecs import balancer, task
from simulators.aws.types import replication_group
from simulators.aws.types.target_group import full_name

_ANSWER_SECONDS = 2.0
_GIB = 1024**3
_read: dict[str, int] = {}
"""Bytes of each access log that were read."""
_evicted: dict[str, int] = {}
_processes: dict[int, psutil.Process] = {}


def publish() -> None:
    """Publishes the metrics of the request's account and region, now."""
    for measure in (_load_balancers, _services, _databases, _caches):
        measure()


def _put(namespace: str, dimensions: Mapping[str, str], unit: str = "Count", **values: float) -> None:
    for name, value in values.items():
        cloudwatch.record_metric(namespace, name, value, unit, dict(dimensions))


def _load_balancers() -> None:
    for each in balancer.all_balancers():
        requests = _requests(each)
        _put(
            "AWS/ApplicationELB",
            {"LoadBalancer": _full_name(each.arn)},
            RequestCount=len(requests),
            HTTPCode_ELB_5XX_Count=sum(answered is None and status >= 500 for _, status, answered, _ in requests),
            RejectedConnectionCount=0,
        )
        of_group: dict[str, list[tuple[int, float]]] = defaultdict(list)
        groups = {
            f"{target['Id']}:{target['Port']}": arn for arn, targets in alb._targets.items() for target in targets
        }
        for target, _, answered, seconds in requests:
            if answered is not None and target in groups:
                of_group[groups[target]].append((answered, seconds))
        for arn, group in alb._tgs.items():
            targets = alb._targets.get(arn, [])
            dimensions = {"LoadBalancer": _full_name(each.arn), "TargetGroup": full_name(arn)}
            healthy = sum(_is_healthy(target, group) for target in targets)
            _put("AWS/ApplicationELB", dimensions, HealthyHostCount=healthy, UnHealthyHostCount=len(targets) - healthy)
            if answers := of_group[arn]:
                failed = sum(status >= 500 for status, _ in answers)
                _put("AWS/ApplicationELB", dimensions, RequestCount=len(answers), HTTPCode_Target_5XX_Count=failed)
            for _, seconds in answers:
                _put("AWS/ApplicationELB", dimensions, "Seconds", TargetResponseTime=seconds)


def _requests(one: balancer.Balancer) -> list[tuple[str, int, int | None, float]]:
    """(target, status, the target's own status, its seconds) of each request since the last call."""
    log, found = one.folder / balancer.ACCESS_LOG, []
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(_read.get(one.arn, 0))
        whole = file.read().rpartition(b"\n")[0]
    _read[one.arn] = _read.get(one.arn, 0) + len(whole) + bool(whole)
    for line in whole.decode().splitlines():
        target, status, answered, seconds = line.split()
        # For a target that did not answer, nginx logs its own 502 or 504 and no time to the first byte.
        has_answered = answered.isdigit() and seconds != "-"
        found.append(
            (target, int(status), int(answered) if has_answered else None, float(seconds) if has_answered else 0.0)
        )
    return found


def _is_healthy(target: Mapping[str, Any], group: Mapping[str, Any]) -> bool:
    url = f"http://{target['Id']}:{target['Port']}{group.get('HealthCheckPath', '/')}"
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _full_name(arn: str) -> str:
    return arn.partition(":loadbalancer/")[2]


def _services() -> None:
    for service in list(ecs._services.values()):
        group = f"service:{service['serviceName']}"
        alive = [
            each["taskArn"]
            for each in list(ecs._tasks.values())
            if each.get("group") == group and each["lastStatus"] == "RUNNING"
        ]
        dimensions = {
            "ClusterName": service["clusterArn"].rpartition("/")[2],
            "ServiceName": service["serviceName"],
        }
        wanted = float(service["desiredCount"] or 0)
        _put("ECS/ContainerInsights", dimensions, DesiredTaskCount=wanted, RunningTaskCount=len(alive))
        if not alive:
            continue
        definition = ecs._task_defs[ecs._resolve_td_key(service["taskDefinition"])]
        every = [_tree(pid) for arn in alive for pid in task.process_ids(arn)]
        vcpus = int(definition.get("cpu") or 256) / 1024 * len(alive)
        room = int(definition.get("memory") or 512) * 1024**2 * len(alive)
        _put(
            "AWS/ECS", dimensions, "Percent",
            CPUUtilization=sum(map(_cpu, every)) / vcpus,
            MemoryUtilization=100 * sum(map(_memory, every)) / room,
        )  # fmt: skip


def _databases() -> None:
    for instance in list(rds._instances.values()):
        if (server := database_servers.server_of(instance)) is None:
            continue
        dimensions = {"DBInstanceIdentifier": instance["DBInstanceIdentifier"]}
        _put("AWS/RDS", dimensions, "Percent", CPUUtilization=_cpu(_tree(server.process_id)))
        try:
            with server.inside("postgres", seconds=int(_ANSWER_SECONDS)) as connection:
                query = (
                    "select (select count(*) from pg_stat_activity where datname is not null),"
                    " (select sum(pg_database_size(oid)) from pg_database)"
                )
                connections, size = connection.execute(query).fetchone() or (0, 0)
        except psycopg.Error:
            continue
        free = int(instance["AllocatedStorage"]) * _GIB - int(str(size))
        _put("AWS/RDS", dimensions, DatabaseConnections=float(str(connections)))
        _put("AWS/RDS", dimensions, "Bytes", FreeStorageSpace=free)


def _caches() -> None:
    for identity, servers in list(replication_group.servers.items()):
        group = elasticache._replication_groups.get(identity)
        if group is None:
            continue
        # MiniStack numbers the shard even if there is only one; ElastiCache does not (its user guide, "Finding
        # connection endpoints").
        without = "" if len(servers) > 1 else "-0001"
        members = sorted(each.replace(f"{identity}{without}-", f"{identity}-") for each in group["MemberClusters"])
        each_has = max(len(members) // len(servers), 1)
        for number, server in enumerate(servers):
            with contextlib.suppress(redis.RedisError), server.client(seconds=_ANSWER_SECONDS) as client:
                found = client.info()
                evicted = int(found["evicted_keys"])
                for member in members[number * each_has : (number + 1) * each_has]:
                    dimensions = {"CacheClusterId": member}
                    used = 100 * found["used_memory"] / (found["maxmemory"] or found["total_system_memory"])
                    _put(
                        "AWS/ElastiCache", dimensions,
                        CurrConnections=found["connected_clients"], Evictions=evicted - _evicted.get(identity, 0),
                    )  # fmt: skip
                    _put(
                        "AWS/ElastiCache", dimensions, "Percent",
                        DatabaseMemoryUsagePercentage=used, EngineCPUUtilization=_cpu(_tree(server.process_id)),
                    )  # fmt: skip
                    _put("AWS/ElastiCache", dimensions, "Seconds", ReplicationLag=0)
                _evicted[identity] = evicted


def _tree(pid: int | None) -> list[psutil.Process]:
    """The process and its descendants. The objects are reused, because they measure CPU from call to call."""
    if pid is None:
        return []
    with contextlib.suppress(psutil.Error):
        root = _processes.setdefault(pid, psutil.Process(pid))
        return [root, *(_processes.setdefault(each.pid, each) for each in root.children(recursive=True))]
    return []


def _cpu(processes: Iterable[psutil.Process]) -> float:
    """Percent of one processor since the last call."""
    total = 0.0
    for each in processes:
        with contextlib.suppress(psutil.Error):
            total += each.cpu_percent()
    return total


def _memory(processes: Iterable[psutil.Process]) -> float:
    """Bytes."""
    total = 0
    for each in processes:
        with contextlib.suppress(psutil.Error):
            total += each.memory_info().rss
    return total
