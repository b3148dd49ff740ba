"""A queue in an account: a real Redis that evicts nothing, a worker that has its URL, a probe that counts its jobs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from config import ENVIRONMENTS, load
from infra_runtime.contract.redis_url import parse
from ops.redis.probe import ask_probe
from rehearsal.account import Account, opened
from rehearsal.checks import redis, services
from rehearsal.variants import with_queue

NAME = "dev"
STACKS = ("Network", "Data", "Registry", "Platform", "Redis", "Api", "Frontend")


@pytest.fixture(scope="module")
def account(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    import aws_cdk as cdk

    import app

    folder = tmp_path_factory.mktemp("queue")
    loaded = load([NAME], directory=with_queue(ENVIRONMENTS, NAME, into=folder / "environments"))
    root = cdk.App(context=context, outdir=str(folder / "out"))
    app.build(root, loaded)
    assembly = Path(root.synth().directory)
    with opened(NAME, loaded[NAME], folder / "account") as found:
        found.prepare()
        found.cdk.bootstrap(assembly)
        found.cdk.deploy(assembly, *(f"{NAME}/{stack}" for stack in STACKS), options=["--exclusively"])
        yield found


def worker(account: Account) -> dict[str, Any]:
    (found,) = [each for _, each in account.services() if not each["loadBalancers"]]
    return found


def queue(account: Account) -> Any:
    """As the worker is connected to it."""
    url = {each["name"]: each["valueFrom"] for each in account.container(worker(account))["secrets"]}["REDIS_QUEUE_URL"]
    value = account.client("secretsmanager").get_secret_value(SecretId=url)["SecretString"]
    (node,) = parse(value).nodes
    # Its certificate is of the rehearsal's own authority.
    return redis_py.Redis(
        host=node.host, port=node.port, password=parse(value).password, ssl=True, ssl_cert_reqs="none"
    )


def look(account: Account, instance: str) -> dict[str, Any]:
    return ask_probe(account, account.stack_name("Redis"), instance, {"report": True})


def test_the_probe_counts_the_jobs_that_wait_for_the_worker(account: Account) -> None:
    assert look(account, "jobs")["waiting"] == {"mailer": 0}
    client = queue(account)
    client.lpush("bull:mail:wait", "1", "2", "3")
    client.zadd("bull:mail:prioritized", {"4": 1})
    found = look(account, "jobs")
    assert (found["waiting"], found["level"]) == ({"mailer": 4}, "ok")
    assert "waiting" not in look(account, "main")


def test_a_queue_that_begins_to_evict_cannot_be_used(account: Account) -> None:
    client = queue(account)
    client.config_set("maxmemory-policy", "allkeys-lru")
    found = look(account, "jobs")
    client.config_set("maxmemory-policy", "noeviction")
    assert (found["reason"], found["level"]) == ("evicts", "critical")
    assert look(account, "jobs")["level"] == "ok"


def test_the_worker_scales_with_its_queue_and_the_others_with_cpu_and_memory(account: Account) -> None:
    found = services.autoscaling(account)
    assert ("1-4 tasks on waiting jobs" in found, "on CPU and memory" in found) == (True, True)
    assert "a write read back" in redis.is_used(account)
    assert "one node" in redis.instance(account)


def test_users_stay_with_one_task_and_the_weights_are_those_of_the_deployment(account: Account) -> None:
    balancer = account.client("elbv2")
    rules = account.resources("Api", "AWS::ElasticLoadBalancingV2::ListenerRule")
    for rule in balancer.describe_rules(RuleArns=rules)["Rules"]:
        forward = rule["Actions"][0]["ForwardConfig"]
        assert forward["TargetGroupStickinessConfig"] == {"Enabled": True, "DurationSeconds": 1}
        # The first deployment ends with green (docs/adr/0004).
        assert sorted(each["Weight"] for each in forward["TargetGroups"]) == [0, 100]
    for group in account.resources("Api", "AWS::ElasticLoadBalancingV2::TargetGroup"):
        found = balancer.describe_target_group_attributes(TargetGroupArn=group)["Attributes"]
        attributes = {each["Key"]: each["Value"] for each in found}
        assert attributes["stickiness.enabled"] == "true"
        assert attributes["stickiness.lb_cookie.duration_seconds"] == "3600"


def test_no_password_is_in_the_probes_answer(account: Account) -> None:
    password = parse(redis.url_of_the_tasks(account)).password
    assert password
    assert password not in json.dumps([look(account, each) for each in ("main", "jobs")])
