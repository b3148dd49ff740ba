"""`infra drift`: what somebody changed, and nothing that AWS changes by itself."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from config import load
from config.model import Environment
from ops.drift import drifts
from ops.effects import effects
from ops.errors import OperatorError
from ops.overwritten import overwritten
from simulators.aws.conditions import Condition
from simulators.aws.process import emulator
from simulators.redis.authority import Authority

STACK = "daadaar-dev-data"
DATABASE = {
    "Type": "AWS::RDS::DBInstance",
    "Properties": {
        "DBInstanceIdentifier": "app",
        "DBName": "app",
        "Engine": "postgres",
        "EngineVersion": "17",
        "AllocatedStorage": "100",
        "MaxAllocatedStorage": 200,
        "BackupRetentionPeriod": 7,
        "MasterUsername": "postgres",
        "ManageMasterUserPassword": True,
    },
}
LOGS = {
    "Type": "AWS::Logs::LogGroup",
    "Properties": {"LogGroupName": "/app", "RetentionInDays": 30},
}
SECRET = {"Type": "AWS::SecretsManager::Secret", "Properties": {"GenerateSecretString": {}}}


@dataclass(frozen=True)
class Somebodys:
    """An account at the emulator."""

    url: str

    def client(self, service: str, /) -> Any:
        return boto3.client(
            service, endpoint_url=self.url, region_name="eu-central-1", aws_access_key_id="444455556666",
            aws_secret_access_key="test",
        )  # fmt: skip


@pytest.fixture(scope="module")
def dev() -> Environment:
    return load(["dev"])["dev"]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Somebodys]:
    nowhere = "http://127.0.0.1:9"
    folder = tmp_path_factory.mktemp("emulator")
    without = [Condition.FREE_PLAN]
    with emulator(folder, cloudflare=nowhere, upstash=nowhere, authority=Authority(), without=without) as running:
        yield Somebodys(running.url)


@pytest.fixture
def deploy(account: Somebodys) -> Iterator[Callable[..., str]]:
    """Creates or updates the stack; returns its status, and why it failed."""
    cloudformation = account.client("cloudformation")

    def run(**resources: Any) -> str:
        body = json.dumps({"Resources": resources})
        try:
            cloudformation.update_stack(StackName=STACK, TemplateBody=body)
        except cloudformation.exceptions.ClientError as error:
            if "No updates" in str(error):
                return "unchanged"
            cloudformation.create_stack(StackName=STACK, TemplateBody=body)
        while (status := cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"]).endswith(
            "PROGRESS"
        ):
            time.sleep(0.05)
        events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
        failed = [each["ResourceStatusReason"] for each in events if each["ResourceStatus"].endswith("_FAILED")]
        return " ".join([status, *failed[:1]])

    yield run
    cloudformation.delete_stack(StackName=STACK)
    pages = cloudformation.get_paginator("describe_stacks")
    while any(each["StackName"] == STACK for page in pages.paginate() for each in page["Stacks"]):
        time.sleep(0.05)


def reported(account: Any, dev: Environment) -> list[str]:
    return [f"{each.resource} {each.what}" for each in drifts("dev", dev, account, every=0.01)]


def test_an_environment_that_is_not_deployed_is_to_be_deployed_first(account: Somebodys, dev: Environment) -> None:
    with pytest.raises(OperatorError, match="deploy it first: make deploy ENV=dev"):
        reported(account, dev)


def test_a_fresh_deployment_has_not_drifted(account: Somebodys, dev: Environment, deploy: Callable[..., str]) -> None:
    assert deploy(Database=DATABASE, Logs=LOGS, Secret=SECRET) == "CREATE_COMPLETE"
    assert reported(account, dev) == []


def test_changes_by_aws_are_not_drift_and_survive_the_next_deployment(
    account: Somebodys, dev: Environment, deploy: Callable[..., str]
) -> None:
    deploy(Database=DATABASE)
    rds = account.client("rds")
    rds.modify_db_instance(
        DBInstanceIdentifier="app", EngineVersion="17.10", AllocatedStorage=150, ApplyImmediately=True
    )

    def found() -> tuple[str, int]:
        instance = rds.describe_db_instances()["DBInstances"][0]
        return instance["EngineVersion"], instance["AllocatedStorage"]

    assert found() == ("17.10", 150)
    assert reported(account, dev) == []
    assert deploy(Database=DATABASE) == "unchanged"
    kept_longer = {**DATABASE["Properties"], "BackupRetentionPeriod": 8}  # type: ignore[dict-item]
    assert deploy(Database={**DATABASE, "Properties": kept_longer}) == "UPDATE_COMPLETE"
    assert found() == ("17.10", 150)


def test_manual_changes_are_drift(account: Somebodys, dev: Environment, deploy: Callable[..., str]) -> None:
    deploy(Database=DATABASE, Logs=LOGS)
    account.client("rds").modify_db_instance(
        DBInstanceIdentifier="app", AllocatedStorage=300, BackupRetentionPeriod=1, ApplyImmediately=True
    )
    account.client("logs").delete_log_group(logGroupName="/app")
    assert sorted(reported(account, dev)) == [
        "Database /AllocatedStorage: 100 → 300",
        "Database /BackupRetentionPeriod: 7 → 1",
        "Logs was deleted",
    ]


def by_hand(account: Any, *, is_: Any, becomes: Any) -> list[str]:
    """Manual changes that a deployment of other resources would overwrite."""
    before, after = ({STACK: {"Resources": each}} for each in (is_, becomes))
    return [f"{each.severity.name} {each.what}" for each in overwritten(account, before, after, effects(before, after))]


def test_a_deployment_that_would_overwrite_a_manual_change_is_reported(
    account: Somebodys, deploy: Callable[..., str]
) -> None:
    now = {"Logs": LOGS, "Database": DATABASE}
    deploy(**now)
    account.client("logs").put_retention_policy(logGroupName="/app", retentionInDays=7)

    def with_days(days: int) -> Any:
        return {**now, "Logs": {**LOGS, "Properties": {"LogGroupName": "/app", "RetentionInDays": days}}}

    assert by_hand(account, is_=now, becomes=with_days(90)) == [
        "DANGEROUS was changed by hand (/RetentionInDays: 30 → 7), and is written again"
    ]
    assert by_hand(account, is_=now, becomes=with_days(7)) == [], "the code says so now"
    kept = {**DATABASE, "Properties": {**DATABASE["Properties"], "BackupRetentionPeriod": 8}}  # type: ignore[dict-item]
    assert by_hand(account, is_=now, becomes={**now, "Database": kept}) == [], "CloudFormation leaves the group alone"
    account.client("logs").delete_log_group(logGroupName="/app")
    assert by_hand(account, is_=now, becomes=with_days(90)) == ["DANGEROUS was deleted by hand"]


def test_missing_permissions_are_reported_once() -> None:
    class Denied:
        def client(self, _: str) -> "Denied":
            return self

        def detect_stack_resource_drift(self, **_: str) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DetectStackResourceDrift")

    becomes = {name: {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 1}} for name in ("One", "Two")}
    now = {name: {"Type": "AWS::SQS::Queue", "Properties": {}} for name in becomes}
    assert [each.partition(":")[0] for each in by_hand(Denied(), is_=now, becomes=becomes)] == [
        "LOOK is not compared with what is in AWS"
    ]


def test_a_resource_that_cannot_be_compared_is_reported_with_the_reason() -> None:
    """CloudFormation answers, and does not refuse, if these credentials may not read what it compares."""

    class Unreadable:
        def client(self, _: str) -> "Unreadable":
            return self

        def detect_stack_resource_drift(self, **request: str) -> dict[str, Any]:
            if request["LogicalResourceId"] == "Read":
                return {"StackResourceDrift": {"StackResourceDriftStatus": "IN_SYNC"}}
            reason = "not authorized to perform:\n sqs:GetQueueAttributes"
            return {"StackResourceDrift": {"StackResourceDriftStatus": "UNKNOWN", "DriftStatusReason": reason}}

    becomes = {name: {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 1}} for name in ("Queue", "Read")}
    now = {name: {"Type": "AWS::SQS::Queue", "Properties": {}} for name in becomes}
    assert by_hand(Unreadable(), is_=now, becomes=becomes) == [
        "LOOK is not compared with what is in AWS: not authorized to perform: sqs:GetQueueAttributes"
    ]


def test_a_full_version_would_ask_for_a_downgrade_and_rds_refuses_it(deploy: Callable[..., str]) -> None:
    """Why the template has the major version only."""
    newer = {**DATABASE["Properties"], "EngineVersion": "17.10"}  # type: ignore[dict-item]
    older = {**newer, "EngineVersion": "17.9"}
    assert deploy(Database={**DATABASE, "Properties": newer}) == "CREATE_COMPLETE"
    assert "Cannot find upgrade path from 17.10 to 17.9." in deploy(Database={**DATABASE, "Properties": older})


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"AllocatedStorage": "50"}, "Invalid storage size for engine name postgres and storage type gp3: 50"),
        ({"EngineVersion": "18"}, "The AllowMajorVersionUpgrade flag must be present"),
    ],
)
def test_rds_refuses_less_storage_and_an_unasked_major_version(
    change: dict[str, str], refusal: str, deploy: Callable[..., str]
) -> None:
    properties = {**DATABASE["Properties"], "StorageType": "gp3"}  # type: ignore[dict-item]
    assert deploy(Database={**DATABASE, "Properties": properties}) == "CREATE_COMPLETE"
    assert refusal in deploy(Database={**DATABASE, "Properties": {**properties, **change}})


DELETED = [
    {"LogicalResourceId": name, "ResourceType": "AWS::Logs::LogGroup", "StackResourceDriftStatus": "DELETED"}
    for name in ("First", "Second")
]


class Pages:
    """A CloudFormation with two drifted resources, which gives one a page; and a second stack that is being updated."""

    def client(self, service: str, /) -> "Pages":
        return self

    def get_paginator(self, operation: str) -> "Pages":
        return self

    def paginate(self) -> list[dict[str, Any]]:
        return [
            {"Stacks": [{"StackName": "daadaar-dev-api", "StackStatus": "UPDATE_IN_PROGRESS"}]},
            {"Stacks": [{"StackName": "daadaar-dev-data", "StackStatus": "UPDATE_COMPLETE"}]},
        ]

    def detect_stack_drift(self, **request: str) -> dict[str, str]:
        assert request == {"StackName": "daadaar-dev-data"}, "AWS refuses to compare a stack that is being updated"
        return {"StackDriftDetectionId": "d"}

    def describe_stack_drift_detection_status(self, **_: str) -> dict[str, str]:
        return {"DetectionStatus": "DETECTION_COMPLETE"}

    def describe_stack_resource_drifts(self, **request: Any) -> dict[str, Any]:
        token = request.get("NextToken", "0")
        page = {"StackResourceDrifts": [DELETED[int(token)]]}
        return {**page, "NextToken": "1"} if token == "0" else page


def test_every_page_is_read_and_a_stack_that_moves_is_named(dev: Environment) -> None:
    assert reported(Pages(), dev) == [
        " not compared: it is UPDATE_IN_PROGRESS",
        "First was deleted",
        "Second was deleted",
    ]
