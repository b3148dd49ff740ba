"""docs/runbooks/redis-migrate.md, step by step, from ElastiCache to Upstash to somebody else's; and what is refused."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from config import ENVIRONMENTS, load
from infra_runtime.contract.redis_url import parse
from rehearsal.account import Account, opened
from rehearsal.cdk_cli import CdkFailed
from rehearsal.checks import redis
from rehearsal.variants import with_redis

NAME = "dev"
GROUP = "AWS::ElastiCache::ReplicationGroup"


@dataclass
class Operator:
    """Edits the environment's file and deploys."""

    account: Account
    context: dict[str, Any]
    folder: Path

    def assembly(self, instances: dict[str, str], serves: str) -> Path:
        import aws_cdk as cdk

        import app

        into = self.folder / f"{'-'.join(instances)}-{serves}"
        if not into.exists():
            with_redis(ENVIRONMENTS, NAME, instances, serves=serves, into=into)
        loaded = load([NAME], directory=into)
        self.account = replace(self.account, environment=loaded[NAME])
        root = cdk.App(context=self.context, outdir=f"{into}.out")
        app.build(root, loaded)
        return Path(root.synth().directory)

    def deploy(self, instances: dict[str, str], serves: str, *stacks: str) -> None:
        assembly = self.assembly(instances, serves)
        self.account.cdk.deploy(assembly, *(f"{NAME}/{stack}" for stack in stacks), options=["--exclusively"])

    @property
    def url_of_the_tasks(self) -> str:
        return redis.url_of_the_tasks(self.account)

    def groups(self) -> list[str]:
        return self.account.resources("Redis", GROUP)


@pytest.fixture(scope="module")
def operator(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An account with the stacks up to the API, and a Redis of each kind outside of the account."""
    folder = tmp_path_factory.mktemp("migration")
    every_way = {"main": "elasticache", "next": "upstash", "last": "external"}
    everything = with_redis(ENVIRONMENTS, NAME, every_way, serves="main", into=folder / "everything")
    with opened(NAME, load([NAME], directory=everything)[NAME], folder / "account") as account:
        account.prepare()
        found = Operator(account, context, folder)
        first = found.assembly({"main": "elasticache"}, "main")
        account.cdk.run("bootstrap", f"aws://{account.cdk.account}/{account.cdk.region}", "--app", str(first))
        found.deploy({"main": "elasticache"}, "main", "Network", "Data", "Registry", "Platform", "Redis", "Api")
        yield found


def test_tasks_never_get_a_url_that_does_not_work(operator: Operator) -> None:
    """The gate refuses to switch to an unusable instance, names the reason, and changes nothing."""
    before, secrets = operator.url_of_the_tasks, operator.account.client("secretsmanager")
    right = secrets.get_secret_value(SecretId="daadaar/redis-url")["SecretString"]
    secrets.put_secret_value(SecretId="daadaar/redis-url", SecretString="rediss://:p4ss@w0rd@10.0.0.1:6379")
    with pytest.raises(CdkFailed) as failed:
        operator.deploy({"main": "elasticache", "last": "external"}, "last", "Redis", "Api")
    assert "one @ at most" in failed.value.output
    assert "w0rd" not in failed.value.output
    assert operator.account.stacks()[operator.account.stack_name("Redis")] == "UPDATE_ROLLBACK_COMPLETE"
    assert operator.url_of_the_tasks == before
    secrets.put_secret_value(SecretId="daadaar/redis-url", SecretString=right)


def test_a_migration_passes_through_both_providers(operator: Operator) -> None:
    of_elasticache = operator.url_of_the_tasks

    both = {"main": "elasticache", "next": "upstash"}
    operator.deploy(both, "main", "Redis")
    assert operator.url_of_the_tasks == of_elasticache, "provisioning changes nothing for the tasks"

    operator.deploy(both, "next", "Redis", "Api")
    of_upstash = operator.url_of_the_tasks
    assert (of_upstash != of_elasticache, parse(of_upstash).username) == (True, "default")
    assert "a write read back" in redis.is_used(operator.account)
    assert operator.groups(), "the old one is there until it is sent away"

    operator.deploy(both, "main", "Redis", "Api")
    assert operator.url_of_the_tasks == of_elasticache, "the way back"

    others = {"main": "elasticache", "last": "external"}
    operator.deploy(others, "last", "Redis", "Api")
    assert parse(operator.url_of_the_tasks).form == "sentinel"
    operator.deploy({"last": "external"}, "last", "Redis")
    assert not operator.groups()
    left = [each["database_name"] for each in operator.account.upstash.databases.values()]
    assert left == ["somebody-elses"]
    assert "a write read back" in redis.is_used(operator.account)
