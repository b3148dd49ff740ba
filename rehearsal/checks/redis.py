"""Checks of Redis as the tasks use it, with the account's own probe."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra_runtime.contract.names import upstash_database
from infra_runtime.contract.redis_url import RedisTarget, parse, require_deployable
from ops.console import Console
from ops.redis.probe import ask_probe
from ops.redis.rotation import ElastiCacheRotation, rotate
from rehearsal.account import Account
from rehearsal.checks.assertions import not_on_this_plan, require
from rehearsal.checks.load import unnoticed
from rehearsal.checks.releases import first_release
from rehearsal.servers import listening, suspended


def instance(account: Account) -> str:
    """The serving Redis is as declared, and refuses connections without a password."""
    settings = account.environment.redis
    serving = settings.instances[settings.serves]
    if (upstash := serving.upstash) is not None:
        name = upstash_database(account.environment.product, account.name, settings.serves)
        (database,) = [each for each in account.upstash.databases.values() if each["database_name"] == name]
        require(database["primary_region"] == upstash.region, f"in {database['primary_region']}")
        require(sorted(database["read_regions"]) == sorted(upstash.read_regions), f"read in {database['read_regions']}")
        require(database["tls"] and database["eviction"], "TLS or eviction is off")
        return f"Upstash, {upstash.region}, read in {', '.join(upstash.read_regions) or 'no other'}; TLS, eviction"
    if serving.elasticache is None:
        return f"a secret of others, {account.resource('Redis', 'Custom::RedisGate')} has verified it"
    wanted = serving.elasticache
    identity = _group(account, settings.serves)
    answer = account.client("elasticache").describe_replication_groups(ReplicationGroupId=identity)
    group = answer["ReplicationGroups"][0]
    survives = wanted.replicas > 0
    require(group["MultiAZ"] == ("enabled" if survives else "disabled"), f"Multi-AZ is {group['MultiAZ']}")
    require(group["AutomaticFailover"] == ("enabled" if survives else "disabled"), group["AutomaticFailover"])
    require(group["TransitEncryptionEnabled"] and group["AtRestEncryptionEnabled"], "not encrypted")
    require(group["AuthTokenEnabled"], "no AUTH")
    require(group["SnapshotRetentionLimit"] == wanted.snapshot_days, "snapshots")
    nodes = len(group["MemberClusters"])
    require(nodes == (wanted.shards or 1) * (1 + wanted.replicas), f"{nodes} nodes")
    multi = "Multi-AZ, automatic failover" if survives else "one node, as chosen"
    return f"{nodes} nodes, {multi}, TLS, AUTH, snapshots {group['SnapshotRetentionLimit']} d"


def _group(account: Account, instance: str) -> str:
    """The instance's replication group; the stack may have others, and a queue."""
    resources = account.client("cloudformation").describe_stack_resources(StackName=account.stack_name("Redis"))
    (found,) = [
        str(each["PhysicalResourceId"])
        for each in resources["StackResources"]
        if each["ResourceType"] == "AWS::ElastiCache::ReplicationGroup"
        and each["LogicalResourceId"].startswith(f"Instances{instance.replace('-', '')}Group")
    ]
    return found


def no_failover(account: Account) -> str | None:
    """Why AWS promises no failover for the environment's Redis; None if it does."""
    settings = account.environment.redis
    if (elasticache := settings.instances[settings.serves].elasticache) is None:
        return "Redis is not ElastiCache"
    return None if elasticache.replicas else "one node without a replica"


def url(account: Account) -> str:
    """The secret that the API's task really refers to holds a URL of the contract."""
    target = _target(account)
    require_deployable(target)
    parts = target.described()
    return f"{parts['form']} of {len(target.nodes)}, TLS, password; a secret of the task"


def is_used(account: Account) -> str:
    """The probe uses Redis from the tasks' network, with their URL."""
    report = _report(account)
    require(report["connected"], f"not connected: {report.get('error')} ({report['reason']})")
    require(report["writable"], f"not writable: {report.get('error')} ({report['reason']})")
    return f"ping {report['latencyMs']} ms, a write read back, {report['mode']}"


def outage(account: Account) -> str:
    """Its servers are suspended: the probe reports the outage with its reason, and then the recovery."""
    with stopped(account):
        report = _report(account)
    require(report["level"] == "critical", f"level {report['level']} while Redis was suspended")
    after = _report(account)
    require(after["level"] == "ok", f"level {after['level']} after it went on")
    return f"critical: {report['error']} ({report['reason']}); then ok"


def rotation(account: Account) -> str:
    """ElastiCache accepts two tokens until every task has read the new one."""
    settings = account.environment.redis
    if settings.instances[settings.serves].elasticache is None:
        not_on_this_plan("Redis is not ElastiCache")
    first_release(account)
    before = _target(account)
    place = ElastiCacheRotation(
        account.name, account.environment, settings.serves, account, sleep=lambda _: time.sleep(0.2)
    )
    output = io.StringIO()
    with unnoticed(account, "/count") as users:
        rotate(place, Console(file=output, width=200))
    after = _target(account)
    require(after.password != before.password, "the URL has the old token")
    require(not _is_let_in(account, before), "the old token is still valid")
    require(_report(account)["writable"], f"not writable afterwards; {output.getvalue()}")
    return f"two tokens, then one; none of {users.requests} requests failed"


def _is_let_in(account: Account, target: RedisTarget) -> bool:
    node = target.nodes[0]
    client = redis.Redis(
        host=node.host, port=node.port, password=target.password, ssl=True,
        ssl_ca_certs=str(account.cdk.workspace / "authority" / "ca.pem"), ssl_check_hostname=False,
        retry=Retry(NoBackoff(), 0),  # By default it retries a refused password, for four seconds.
    )  # fmt: skip
    try:
        return bool(client.ping())
    except redis.AuthenticationError:
        return False
    finally:
        client.close()


def alarm(account: Account) -> str:
    """Only one alarm on the probe's metrics is critical, and its end notifies as info."""
    topics = {arn: arn.rpartition(":")[2].lower() for arn in account.resources("Platform", "AWS::SNS::Topic")}
    found = [
        each
        for page in account.client("cloudwatch").get_paginator("describe_alarms").paginate()
        for each in page["MetricAlarms"]
        if each.get("MetricName") == "Unusable"
    ]
    redis = account.environment.redis
    about = sorted(dimension["Value"] for each in found for dimension in each["Dimensions"])
    used = [redis.serves] + ([redis.queue] if redis.queue else [])
    require(about == sorted([*used, *[account.name] * len(used)]), f"alarms are about {about}")
    one = next(each for each in found if redis.serves in {dimension["Value"] for dimension in each["Dimensions"]})
    (begins,), ends = one["AlarmActions"], one["OKActions"]
    require("critical" in topics.get(begins, ""), f"it tells {begins}")
    require(begins in ends and any("info" in topics.get(each, "") for each in ends), f"its end tells {ends}")
    require(one["TreatMissingData"] == "breaching", "no data would be good news")
    return "critical when it begins, info when it is over"


def url_of_the_tasks(account: Account) -> str:
    """REDIS_URL from the secret to which the API's task definition refers."""
    secrets = {each["name"]: each["valueFrom"] for each in account.container(account.service(account.main))["secrets"]}
    require("REDIS_URL" in secrets, f"secrets: {', '.join(secrets)}")
    value: str = account.client("secretsmanager").get_secret_value(SecretId=secrets["REDIS_URL"])["SecretString"]
    return value


def _target(account: Account) -> RedisTarget:
    return parse(url_of_the_tasks(account))


def _report(account: Account) -> dict[str, Any]:
    return ask_probe(account, account.stack_name("Redis"), account.environment.redis.serves, {"report": True})


@contextmanager
def stopped(account: Account) -> Iterator[None]:
    """Suspends the servers of the serving Redis during the block."""
    servers = listening("redis-server", [(node.host, node.port) for node in _target(account).nodes])
    require(servers, "no server of it runs on this machine")
    with suspended(servers):
        yield
