"""An emulator for tests of tasks and deployments."""

from collections.abc import Iterator

import boto3
import pytest

from simulators.aws.conditions import Condition
from simulators.aws.process import Emulator, emulator
from simulators.redis.authority import Authority

KEYS = {"region_name": "eu-central-1", "aws_access_key_id": "111122223333", "aws_secret_access_key": "test"}
LOG = {"awslogs-group": "tasks", "awslogs-stream-prefix": "t", "awslogs-region": "eu-central-1"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator with a cluster and a log group, and none of the conditions of real accounts."""
    nowhere, workspace = "http://127.0.0.1:9", tmp_path_factory.mktemp("emulator")
    with emulator(
        workspace, cloudflare=nowhere, upstash=nowhere, authority=Authority(), without=tuple(Condition)
    ) as found:
        boto3.client("logs", endpoint_url=found.url, **KEYS).create_log_group(logGroupName="tasks")
        boto3.client("ecs", endpoint_url=found.url, **KEYS).create_cluster(clusterName="one")
        yield found
