"""What runs in ECS acts as its roles: containers as the task role."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from rehearsal.emulator_process import Emulator, emulator
from rehearsal.redis.authority import Authority

ACCOUNT, REGION = "111122223333", "eu-central-1"
ROOT = Path(__file__).resolve().parents[2]
_DIGEST = "ab" * 32
# As an application does it, with no word about credentials.
_WRITER = """
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
const s3 = new S3Client({})
for (const Key of ['media/a', 'private/a'])
  await s3.send(new PutObjectCommand({ Bucket: 'bucket', Key, Body: 'a' })).then(
    () => console.log(Key, 'written'), (error) => console.log(Key, error.name, error.message))
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    nowhere, folder = "http://127.0.0.1:9", tmp_path_factory.mktemp("emulator")
    with emulator(folder, cloudflare=nowhere, upstash=nowhere, authority=Authority()) as found:
        image = found.images / _DIGEST
        image.mkdir(parents=True)
        (image / "writer.mjs").write_text(_WRITER)
        (image / "node_modules").symlink_to(ROOT / "node_modules")
        client(found, "s3").create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
        client(found, "logs").create_log_group(logGroupName="group")
        yield found


def client(running: Emulator, service: str) -> Any:
    """The root of the account."""
    keys = {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "rehearsal"}
    return boto3.client(service, endpoint_url=running.url, region_name=REGION, **keys)


def role(running: Emulator, name: str, trusted: str, *statements: dict[str, Any]) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": trusted}, "Action": "sts:AssumeRole"}
    iam = client(running, "iam")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]["Arn"]
    if statements:
        document = json.dumps({"Statement": list(statements)})
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)
    return str(made)


def definition(running: Emulator, family: str, role_arn: str) -> str:
    options = {"awslogs-group": "group", "awslogs-stream-prefix": "task", "awslogs-region": REGION}
    container = {
        "name": "app",
        "image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/app@sha256:{_DIGEST}",
        "command": ["node", "writer.mjs"],
        "logConfiguration": {"logDriver": "awslogs", "options": options},
    }
    made = client(running, "ecs").register_task_definition(
        family=family, taskRoleArn=role_arn, containerDefinitions=[container], cpu="256", memory="512"
    )
    return str(made["taskDefinition"]["taskDefinitionArn"])


def test_a_container_may_do_what_its_task_role_grants_and_nothing_else(running: Emulator) -> None:
    put = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::bucket/media/*"}
    writer = definition(running, "writer", role(running, "writer", "ecs-tasks.amazonaws.com", put))
    ecs = client(running, "ecs")
    task = ecs.run_task(cluster="main", taskDefinition=writer)["tasks"][0]["taskArn"]
    while not (found := ecs.describe_tasks(cluster="main", tasks=[task])["tasks"]) or "stoppedAt" not in found[0]:
        time.sleep(0.05)
    identity = task.rpartition("/")[2]
    stream = {"logGroupName": "group", "logStreamName": f"task/app/{identity}"}
    told = [each["message"] for each in client(running, "logs").get_log_events(**stream)["events"]]
    told = [each for each in told if "/a " in each]  # The SDK warns of Node.js 20.
    caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/writer/{identity}"
    assert told == [
        "media/a written",
        f"private/a AccessDenied User: {caller} is not authorized to perform: s3:PutObject on resource: "
        "arn:aws:s3:::bucket/private/a because no identity-based policy allows the s3:PutObject action",
    ]


def test_a_task_whose_role_does_not_trust_ecs_never_starts(running: Emulator) -> None:
    stranger = role(running, "stranger", "ec2.amazonaws.com")
    with pytest.raises(ClientError) as refused:
        client(running, "ecs").run_task(cluster="main", taskDefinition=definition(running, "stranger", stranger))
    assert refused.value.response["Error"] == {
        "Code": "ClientException",
        "Message": f"ECS was unable to assume the role '{stranger}' that was provided for this task. Please verify "
        "that the role being passed has the proper trust relationship and permissions and that your IAM user has "
        "permissions to pass this role.",
    }
