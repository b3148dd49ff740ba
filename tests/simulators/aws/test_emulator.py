"""What AWS refuses, the emulator refuses: small templates with one fault each."""

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from infra_runtime.release.image_layers import layers
from rehearsal.push import upload
from simulators.aws.process import emulator
from simulators.redis.authority import Authority

Refusal = Callable[[dict[str, Any]], str]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """Clients, by service."""
    nowhere = "http://127.0.0.1:9"
    with emulator(
        tmp_path_factory.mktemp("emulator"), cloudflare=nowhere, upstash=nowhere, authority=Authority()
    ) as running:
        yield lambda service: boto3.client(
            service,
            endpoint_url=running.url,
            region_name="eu-central-1",
            aws_access_key_id="111122223333",
            aws_secret_access_key="test",
        )


@pytest.fixture(scope="module")
def cloudformation(aws: Callable[[str], Any]) -> Any:
    return aws("cloudformation")


@pytest.fixture
def refusal(cloudformation: Any, request: pytest.FixtureRequest) -> Refusal:
    """Creates a stack of these resources and returns why it failed, or "" when it did not."""

    def of(resources: dict[str, Any]) -> str:
        name = f"s{abs(hash(request.node.name))}"
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
        while (stack := cloudformation.describe_stacks(StackName=name)["Stacks"][0])["StackStatus"].endswith(
            "PROGRESS"
        ):
            time.sleep(0.05)
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        failures = [
            each.get("ResourceStatusReason", "") for each in events if each["ResourceStatus"] == "CREATE_FAILED"
        ]
        assert (stack["StackStatus"] == "CREATE_COMPLETE") == (not failures)
        return " ".join(failures)

    return of


def test_a_layer_that_was_pushed_is_read_by_its_url(aws: Callable[[str], Any]) -> None:
    """As anybody does who has the URL, without a signature of their own."""
    ecr = aws("ecr")
    repository = ecr.create_repository(repositoryName="layers")["repository"]["repositoryUri"]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("app/empty"))
    layer = upload(ecr.meta.endpoint_url, repository, content.getvalue())
    manifest = json.dumps({"schemaVersion": 2, "layers": [layer]})
    pushed = ecr.put_image(repositoryName="layers", imageManifest=manifest)["image"]["imageId"]["imageDigest"]
    assert list(layers(ecr, f"{repository}@{pushed}", lambda path: path == "app/empty")) == [{"app/empty": b""}]


class _PrefixLists:
    def __init__(self, ec2: Any) -> None:
        self.ec2 = ec2

    def make(self, count: int, family: str = "IPv4") -> str:
        entries = [{"Cidr": f"10.{number}.0.0/16"} for number in range(count)]
        made = self.ec2.create_managed_prefix_list(
            PrefixListName="p", AddressFamily=family, MaxEntries=3, Entries=entries
        )
        return str(made["PrefixList"]["PrefixListId"])

    def change(self, name: str, **change: Any) -> str:
        """The error's code; "" when EC2 has accepted the change."""
        try:
            self.ec2.modify_managed_prefix_list(PrefixListId=name, **change)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""

    def settle(self, name: str) -> None:
        listed = {"PrefixListIds": [name]}
        while self.ec2.describe_managed_prefix_lists(**listed)["PrefixLists"][0]["State"].endswith("progress"):
            time.sleep(0.05)


def test_log_events_have_ids_and_a_phrase_is_found_as_it_is(aws: Callable[[str], Any]) -> None:
    logs, where = aws("logs"), {"logGroupName": "phrases", "logStreamName": "one"}
    logs.create_log_group(logGroupName="phrases")
    logs.create_log_stream(**where)
    now = int(time.time() * 1000)
    lines = ['{"Lost": 1, "what": "redis"}', '{"what": "Lost", "n": 1}', "nothing"]
    logs.put_log_events(**where, logEvents=[{"timestamp": now, "message": each} for each in lines])
    found = logs.filter_log_events(logGroupName="phrases", filterPattern='"\\"Lost\\": 1"')["events"]
    assert [each["message"] for each in found] == lines[:1]
    every = logs.filter_log_events(logGroupName="phrases")["events"]
    assert len({each["eventId"] for each in every}) == 3


@pytest.fixture
def prefix_lists(cloudformation: Any) -> _PrefixLists:
    return _PrefixLists(client_beside(cloudformation, "ec2"))


def client_beside(cloudformation: Any, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=cloudformation.meta.endpoint_url,
        region_name="eu-central-1",
        aws_access_key_id="111122223333",
        aws_secret_access_key="test",
    )


def test_a_prefix_list_has_room_and_no_more(prefix_lists: _PrefixLists) -> None:
    name = prefix_lists.make(2)
    prefix_lists.settle(name)
    two = [{"Cidr": "10.8.0.0/16"}, {"Cidr": "10.9.0.0/16"}]
    assert prefix_lists.change(name, CurrentVersion=1, AddEntries=two) == "PrefixListMaxEntriesExceeded"
    assert prefix_lists.change(name, CurrentVersion=1, AddEntries=two[:1]) == ""
    with pytest.raises(ClientError, match="maximum number of entries"):
        prefix_lists.make(4)


def test_a_prefix_list_of_the_other_family_is_refused(prefix_lists: _PrefixLists) -> None:
    with pytest.raises(ClientError, match="address family"):
        prefix_lists.make(1, "IPv6")


def test_a_prefix_list_takes_one_change_at_a_time_and_of_its_newest_version(prefix_lists: _PrefixLists) -> None:
    name, one = prefix_lists.make(1), [{"Cidr": "10.8.0.0/16"}]
    assert prefix_lists.change(name, CurrentVersion=1, AddEntries=one) == "IncorrectState"
    prefix_lists.settle(name)
    assert prefix_lists.change(name, CurrentVersion=7, AddEntries=one) == "PrefixListVersionMismatch"
    assert prefix_lists.change(name, CurrentVersion=1, AddEntries=one, MaxEntries=9) == "InvalidParameterCombination"
    assert prefix_lists.change(name, MaxEntries=9) == ""


def test_a_second_oidc_provider_in_an_account_is_refused(refusal: Refusal) -> None:
    provider = {
        "Type": "AWS::IAM::OIDCProvider",
        "Properties": {"Url": "https://tokens.example", "ClientIdList": ["a"]},
    }
    assert "already exists" in refusal({"One": provider, "Two": {**provider, "DependsOn": "One"}})


def test_a_nat_gateway_needs_an_address_that_exists(refusal: Refusal) -> None:
    properties = {"SubnetId": "subnet-none", "AllocationId": "eipalloc-none"}
    assert "does not exist" in refusal({"Nat": {"Type": "AWS::EC2::NatGateway", "Properties": properties}})


def test_a_rule_needs_a_group_that_exists(refusal: Refusal) -> None:
    properties = {"GroupId": "sg-none", "IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "CidrIp": "10.0.0.0/8"}
    assert "does not exist" in refusal({"Rule": {"Type": "AWS::EC2::SecurityGroupIngress", "Properties": properties}})


def test_flow_logs_need_a_role(refusal: Refusal) -> None:
    properties = {"ResourceId": "vpc-1", "ResourceType": "VPC", "TrafficType": "ALL", "LogGroupName": "g"}
    assert "DeliverLogsPermissionArn" in refusal({"Log": {"Type": "AWS::EC2::FlowLog", "Properties": properties}})


def alarm(**changed: Any) -> dict[str, Any]:
    stat = {"Metric": {"Namespace": "n", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    properties = {
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "Metrics": [{"Id": "e", "Expression": "m + 1"}, {"Id": "m", "MetricStat": stat, "ReturnData": False}],
    }
    return {"Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": {**properties, **changed}}}


def test_an_alarm_may_calculate(refusal: Refusal) -> None:
    assert refusal(alarm()) == ""


def test_an_alarm_has_one_result(refusal: Refusal) -> None:
    two = [{"Id": "a", "Expression": "1"}, {"Id": "b", "Expression": "2"}]
    assert "Exactly one element" in refusal(alarm(Metrics=two))


def test_an_alarm_on_a_formula_names_no_metric(refusal: Refusal) -> None:
    assert "must not be set together" in refusal(alarm(MetricName="m"))


def test_a_log_group_without_a_name_begins_with_its_stack_and_keeps_its_name(cloudformation: Any) -> None:
    """Policies name log groups by the stack (provider aws-logs-loggroup, pull request 32)."""

    def deploy(call: Callable[..., Any], days: int) -> str:
        group = {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": days}}
        call(StackName="logs", TemplateBody=json.dumps({"Resources": {"Group": group}}))
        while (stack := cloudformation.describe_stacks(StackName="logs")["Stacks"][0])["StackStatus"].endswith("GRESS"):
            time.sleep(0.05)
        assert stack["StackStatus"].endswith("E_COMPLETE")
        (found,) = cloudformation.describe_stack_resources(StackName="logs")["StackResources"]
        return str(found["PhysicalResourceId"])

    name = deploy(cloudformation.create_stack, 30)
    assert name.startswith("logs-Group-")
    assert deploy(cloudformation.update_stack, 60) == name
