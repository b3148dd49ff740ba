"""What AWS refuses, the emulator refuses: small templates with one fault each."""

import contextlib
import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
import redis
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
    """Creates a stack of these resources. Returns the reason of its failure, or ""."""

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
    """A request with the URL reads it without a signature."""
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
    return _PrefixLists(client_in_the_account_of(cloudformation, "ec2"))


def client_in_the_account_of(cloudformation: Any, service: str) -> Any:
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


def test_a_secret_that_changes_three_times_in_a_moment_has_three_dates(aws: Callable[[str], Any]) -> None:
    """What is newer, a secret or the task that reads it, would otherwise be open for a second."""
    secrets, dates = aws("secretsmanager"), []
    secrets.create_secret(Name="often-changed", SecretString="0")
    for value in "123":
        secrets.put_secret_value(SecretId="often-changed", SecretString=value)
        dates.append(secrets.describe_secret(SecretId="often-changed")["LastChangedDate"])
    assert dates == sorted(set(dates))
    assert any(each.microsecond for each in dates)


def _parameters(family: str, **parameters: str) -> dict[str, Any]:
    properties = {"Family": family, "Description": "d", "Parameters": parameters}
    return {"P": {"Type": "AWS::RDS::DBParameterGroup", "Properties": properties}}


@pytest.mark.parametrize(("family", "value"), [("postgres17", "all"), ("postgres18", "1")])
def test_a_family_takes_only_its_own_values_of_a_parameter(family: str, value: str, refusal: Refusal) -> None:
    assert f"Invalid parameter value: {value} for: log_connections" in refusal(
        _parameters(family, log_connections=value)
    )


def test_rds_knows_the_names_of_its_parameters(refusal: Refusal) -> None:
    assert "Could not find parameter with name: log_connection" in refusal(
        _parameters("postgres17", log_connection="1")
    )


def test_rds_takes_every_parameter_of_ours(templates: dict[str, dict[str, Any]], refusal: Refusal) -> None:
    groups = {
        f"P{number}": {"Type": each["Type"], "Properties": each["Properties"]}
        for number, each in enumerate(
            resource
            for where, template in templates.items()
            if where.startswith("production/")
            for resource in template["Resources"].values()
            if resource["Type"] == "AWS::RDS::DBParameterGroup"
        )
    }
    assert groups
    assert refusal(groups) == ""


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


def test_elasticache_keeps_the_last_two_tokens_until_one_is_set(refusal: Refusal, aws: Callable[[str], Any]) -> None:
    """With a real Redis. "SET - allowed only after ROTATE" (ElastiCache API reference, ModifyReplicationGroup)."""
    old, new = "old-token-of-sixteen", "new-token-of-sixteen"
    group = {
        "ReplicationGroupId": "tokens", "ReplicationGroupDescription": "tokens", "Engine": "valkey", "Port": 6379,
        "CacheNodeType": "cache.t4g.micro", "NumCacheClusters": 1, "TransitEncryptionEnabled": True, "AuthToken": old,
    }  # fmt: skip
    assert refusal({"Group": {"Type": "AWS::ElastiCache::ReplicationGroup", "Properties": group}}) == ""
    elasticache = aws("elasticache")
    (made,) = elasticache.describe_replication_groups(ReplicationGroupId="tokens")["ReplicationGroups"]
    where = made["NodeGroups"][0]["PrimaryEndpoint"]

    def let_in() -> list[str]:
        found = []
        for token in (old, new):
            connection = redis.Redis(
                host=where["Address"], port=where["Port"], password=token, ssl=True, ssl_cert_reqs="none",
                ssl_check_hostname=False,
            )  # fmt: skip
            with contextlib.suppress(redis.AuthenticationError), connection:
                connection.ping()
                found.append(token)
        return found

    def modify(strategy: str) -> None:
        elasticache.modify_replication_group(
            ReplicationGroupId="tokens", AuthToken=new, AuthTokenUpdateStrategy=strategy, ApplyImmediately=True
        )

    with pytest.raises(ClientError, match="only after ROTATE"):
        modify("SET")
    assert let_in() == [old]
    modify("ROTATE")
    assert let_in() == [old, new]
    modify("SET")
    assert let_in() == [new]


Templates = Callable[..., dict[str, str]]


@pytest.fixture
def deployed(cloudformation: Any, request: pytest.FixtureRequest) -> Templates:
    """Creates or updates stacks in sequence. Returns the reason of each failure, or ""."""
    number = abs(hash(request.node.name))

    def of(**templates: dict[str, Any]) -> dict[str, str]:
        return {name: _deploy(cloudformation, f"{name}{number}", template) for name, template in templates.items()}

    return of


def _deploy(cloudformation: Any, name: str, template: dict[str, Any]) -> str:
    body = json.dumps(template).replace("STACK", name.lstrip("abcdefghijklmnopqrstuvwxyz"))
    try:
        cloudformation.create_stack(StackName=name, TemplateBody=body)
    except cloudformation.exceptions.AlreadyExistsException:
        cloudformation.update_stack(StackName=name, TemplateBody=body)
    while (stack := cloudformation.describe_stacks(StackName=name)["Stacks"][0])["StackStatus"].endswith("PROGRESS"):
        time.sleep(0.05)
    if stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        return ""
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return " ".join(each.get("ResourceStatusReason", "") for each in events if "FAILED" in each["ResourceStatus"])


def _exporting(value: Any) -> dict[str, Any]:
    outputs = {"It": {"Value": value, "Export": {"Name": "it-STACK"}}} if value else {}
    topic = {"Type": "AWS::SNS::Topic", "Properties": {}}
    return {"Resources": {"Topic": topic}, "Outputs": outputs}


IMPORTING = {
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Parameter": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {"Type": "String", "Value": {"Fn::ImportValue": "it-STACK"}},
        },
    }
}
FREE = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}


def test_an_export_that_is_imported_keeps_its_value(deployed: Templates, cloudformation: Any) -> None:
    assert set(deployed(first=_exporting("a"), second=IMPORTING).values()) == {""}
    assert "cannot be updated as it is in use by second" in deployed(first=_exporting("b"))["first"]
    assert "cannot be deleted as it is in use by second" in deployed(first=_exporting(None))["first"]
    assert set(deployed(second=FREE, first=_exporting("b")).values()) == {""}
    assert deployed(first=_exporting(None))["first"] == ""
    names = [
        each["Name"] for page in cloudformation.get_paginator("list_exports").paginate() for each in page["Exports"]
    ]
    assert [each for each in names if each.startswith("it-")] == []


def test_a_change_set_of_outputs_alone_is_executed_and_an_empty_one_is_not(
    deployed: Templates, cloudformation: Any, request: pytest.FixtureRequest
) -> None:
    deployed(only=_exporting(None))
    name = f"only{abs(hash(request.node.name))}"
    for change, executable in (("more", True), ("same", False)):
        body = json.dumps({**_exporting(None), "Outputs": {"More": {"Value": "b"}}})
        cloudformation.create_change_set(StackName=name, ChangeSetName=change, TemplateBody=body)
        found = cloudformation.describe_change_set(StackName=name, ChangeSetName=change)
        assert (found["ExecutionStatus"] == "AVAILABLE", found["Changes"]) == (executable, [])
        if executable:
            cloudformation.execute_change_set(StackName=name, ChangeSetName=change)
            cloudformation.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    assert [each["OutputValue"] for each in stack["Outputs"]] == ["b"]


def _subnets(**cidrs: str) -> dict[str, Any]:
    vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
    found = {
        name: {
            "Type": "AWS::EC2::Subnet",
            "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": cidr, "AvailabilityZone": "eu-central-1a"},
        }
        for name, cidr in cidrs.items()
    }
    return {"Resources": {"Vpc": vpc, **found}}


def test_subnets_do_not_overlap_and_one_that_moves_is_created_before_the_old_one_goes(deployed: Templates) -> None:
    assert deployed(net=_subnets(One="10.0.0.0/24", Two="10.0.1.0/24"))["net"] == ""
    assert (
        "The CIDR '10.0.1.0/25' conflicts with another subnet"
        in deployed(net=_subnets(One="10.0.0.0/24", Two="10.0.1.0/24", Three="10.0.1.0/25"))["net"]
    )
    swapped = deployed(net=_subnets(One="10.0.1.0/24", Two="10.0.0.0/24"))["net"]
    assert "conflicts with another subnet" in swapped
    assert deployed(net=_subnets(One="10.0.2.0/24", Two="10.0.1.0/24"))["net"] == ""


def test_a_create_only_property_makes_another_resource(deployed: Templates, cloudformation: Any) -> None:
    def log_group(name: str) -> dict[str, Any]:
        return {"Resources": {"Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": name}}}}

    def events() -> list[str]:
        pages = cloudformation.get_paginator("describe_stacks").paginate()
        name = next(
            each["StackName"] for page in pages for each in page["Stacks"] if each["StackName"].startswith("logs")
        )
        return [
            each.get("ResourceStatusReason", "")
            for each in cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        ]

    assert deployed(logs=log_group("one-STACK"))["logs"] == ""
    assert deployed(logs=log_group("two-STACK"))["logs"] == ""
    assert any("requires the creation of a new physical resource" in each for each in events())
