"""A queue in an account: a real Redis that evicts nothing, a worker that has its URL, a probe that counts its jobs."""

import json
from typing import Any

import redis as redis_py

from infra_runtime.contract.redis_url import parse
from ops.redis.probe import ask_probe
from rehearsal.account import Account
from rehearsal.checks import redis, services


def worker(development: Account) -> dict[str, Any]:
    (found,) = [each for _, each in development.services() if not each["loadBalancers"]]
    return found


def queue(development: Account) -> Any:
    """A client of the queue's Redis, with the worker's URL."""
    secrets = development.container(worker(development))["secrets"]
    url = {each["name"]: each["valueFrom"] for each in secrets}["REDIS_QUEUE_URL"]
    value = development.client("secretsmanager").get_secret_value(SecretId=url)["SecretString"]
    (node,) = parse(value).nodes
    # Its certificate is of the rehearsal's own authority.
    return redis_py.Redis(
        host=node.host, port=node.port, password=parse(value).password, ssl=True, ssl_cert_reqs="none"
    )


def check(development: Account, instance: str) -> dict[str, Any]:
    return ask_probe(development, development.stack_name("Redis"), instance, {"report": True})


def test_the_probe_counts_the_jobs_that_wait_for_the_worker(development: Account) -> None:
    assert check(development, "jobs")["waiting"] == {"mailer": 0}
    client = queue(development)
    client.lpush("bull:mail:wait", "1", "2", "3")
    client.zadd("bull:mail:prioritized", {"4": 1})
    found = check(development, "jobs")
    assert (found["waiting"], found["level"]) == ({"mailer": 4}, "ok")
    assert "waiting" not in check(development, "main")


def test_a_queue_that_begins_to_evict_cannot_be_used(development: Account) -> None:
    client = queue(development)
    client.config_set("maxmemory-policy", "allkeys-lru")
    found = check(development, "jobs")
    client.config_set("maxmemory-policy", "noeviction")
    assert (found["reason"], found["level"]) == ("evicts", "critical")
    assert check(development, "jobs")["level"] == "ok"


def test_the_worker_scales_with_its_queue_and_the_others_with_cpu_and_memory(development: Account) -> None:
    found = services.autoscaling(development)
    assert ("1-4 tasks on waiting jobs" in found, "on CPU and memory" in found) == (True, True)
    assert "a write read back" in redis.is_used(development)
    assert "one node" in redis.instance(development)


def test_users_stay_with_one_task_and_the_weights_are_those_of_the_deployment(development: Account) -> None:
    balancer = development.client("elbv2")
    rules = development.resources("Api", "AWS::ElasticLoadBalancingV2::ListenerRule")
    for rule in balancer.describe_rules(RuleArns=rules)["Rules"]:
        forward = rule["Actions"][0]["ForwardConfig"]
        assert forward["TargetGroupStickinessConfig"] == {"Enabled": True, "DurationSeconds": 1}
        # The first deployment ends with green (docs/adr/0004).
        assert sorted(each["Weight"] for each in forward["TargetGroups"]) == [0, 100]
    for group in development.resources("Api", "AWS::ElasticLoadBalancingV2::TargetGroup"):
        found = balancer.describe_target_group_attributes(TargetGroupArn=group)["Attributes"]
        attributes = {each["Key"]: each["Value"] for each in found}
        assert attributes["stickiness.enabled"] == "true"
        assert attributes["stickiness.lb_cookie.duration_seconds"] == "3600"


def test_no_password_is_in_the_probes_answer(development: Account) -> None:
    password = parse(redis.url_of_the_tasks(development)).password
    assert password
    assert password not in json.dumps([check(development, each) for each in ("main", "jobs")])
