"""What only a user who is not root runs into; tools/as_user.sh runs it as one."""

import time
from pathlib import Path

import boto3

from config import load
from rehearsal.cdk_cli import CdkCli
from simulators.aws.conditions import Condition
from simulators.aws.process import emulator
from simulators.redis.authority import Authority


def test_a_task_without_a_port_runs_to_its_end(tmp_path: Path) -> None:
    nowhere, account = "http://127.0.0.1:9", "444455556666"
    with emulator(
        tmp_path, cloudflare=nowhere, upstash=nowhere, authority=Authority(), without=tuple(Condition)
    ) as running:
        keys = {"aws_access_key_id": account, "aws_secret_access_key": "rehearsal", "region_name": "eu-central-1"}
        ecs = boto3.client("ecs", endpoint_url=running.url, **keys)
        boto3.client("logs", endpoint_url=running.url, **keys).create_log_group(logGroupName="tasks")
        ecs.create_cluster(clusterName="one")
        log = {"awslogs-group": "tasks", "awslogs-stream-prefix": "once", "awslogs-region": "eu-central-1"}
        container = {
            "name": "once",
            "image": "public.ecr.aws/docker/library/node:24-alpine",
            "command": ["node", "--eval", "process.exit(7)"],
            "logConfiguration": {"logDriver": "awslogs", "options": log},
        }
        ecs.register_task_definition(family="once", cpu="256", memory="512", containerDefinitions=[container])
        (task,) = ecs.run_task(cluster="one", taskDefinition="once")["tasks"]
        give_up = time.monotonic() + 30
        while (found := ecs.describe_tasks(cluster="one", tasks=[task["taskArn"]])["tasks"][0])[
            "lastStatus"
        ] != "STOPPED":
            assert time.monotonic() < give_up, found
            time.sleep(0.1)
        (code,) = [each["exitCode"] for each in found["containers"] if each["name"] == "once"]
        assert code == 7, found


def test_an_environment_is_synthesized(tmp_path: Path) -> None:
    environment = load(["dev"])["dev"]
    cdk = CdkCli(environment.aws.account, environment.aws.region, tmp_path)
    output = tmp_path / "cdk.out"
    cdk.run("synth", "--quiet", "--context", "env=dev", "--output", str(output), validated=False)
    assert list(output.glob("assembly-dev/*.template.json"))
