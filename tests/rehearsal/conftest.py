"""Rehearsals as processes of their own, as their users start them; and an emulator for tests of tasks."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import psutil
import pytest

from rehearsal.emulator.conditions import Condition
from rehearsal.emulator_process import Emulator, emulator
from rehearsal.redis.authority import Authority

ROOT = Path(__file__).resolve().parents[2]
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


def rehearse(environment: str) -> "subprocess.Popen[str]":
    """`make rehearse ENV=…`, validated as for its user, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "rehearsal", environment],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "CDK_VALIDATION"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def is_alive(process: psutil.Process) -> bool:
    """A zombie is not: it only waits for its parent to read how it ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two
        return False


def below(process: "subprocess.Popen[str]") -> dict[psutil.Process, str]:
    """Every process that this rehearsal has started and that still runs, with its name."""
    found = {}
    for each in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found[each] = each.name()
    return found
