"""What accounts have and a bare emulator lacks, each as AWS does it; and gone when it is turned off."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from simulators.aws.conditions import Condition
from simulators.aws.process import emulator
from simulators.redis.authority import Authority

BUCKET, NAMES = "a-bucket-of-ours", [f"name-{number:02}" for number in range(10)]
NEWEST = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
Client = Callable[[str], Any]


@contextmanager
def account(folder: Path, *, without: tuple[Condition, ...] = ()) -> Iterator[Client]:
    nowhere = "http://127.0.0.1:9"
    with emulator(folder, cloudflare=nowhere, upstash=nowhere, authority=Authority(), without=without) as running:
        yield cache(lambda service: boto3.client(
            service, endpoint_url=running.url, region_name="eu-central-1", aws_access_key_id="111122223333",
            aws_secret_access_key="test", config=Config(retries={"total_max_attempts": 5, "mode": "standard"}),
        ))  # fmt: skip


BALANCER = {"LoadBalancer": {"Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {}}}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with account(tmp_path_factory.mktemp("emulator")) as found:
        fill(found)
        yield found


@pytest.fixture(scope="module")
def kind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with account(tmp_path_factory.mktemp("kind"), without=tuple(Condition)) as found:
        fill(found)
        yield found


def fill(client: Client) -> None:
    client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    client("dynamodb").create_table(
        TableName="things", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )  # fmt: skip
    # Two kinds, which share the pages of one list.
    for name in NAMES[:3]:
        client("cloudwatch").put_metric_alarm(
            AlarmName=name, Namespace="n", MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1,
            Threshold=1, ComparisonOperator="GreaterThanThreshold",
        )  # fmt: skip
    for name in NAMES[3:]:
        client("cloudwatch").put_composite_alarm(AlarmName=name, AlarmRule="TRUE")
    for name in NAMES:
        client("s3").put_object(Bucket=BUCKET, Key=name, Body=b"")
        client("dynamodb").put_item(TableName="things", Item={"k": {"S": name}})
        client("ssm").put_parameter(Name=f"/p/{name}", Value="v", Type="String")
        client("secretsmanager").create_secret(Name=name, SecretString="s")
        client("logs").create_log_group(logGroupName=f"/p/{name}")
        client("ecr").create_repository(repositoryName=name)
        client("ecs").create_cluster(clusterName=name)
        client("ec2").create_security_group(GroupName=name, Description="d")
        client("events").put_rule(Name=name, ScheduleExpression="rate(1 hour)")
        client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")
        client("elbv2").create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId="vpc-1", TargetType="ip")


@dataclass(frozen=True)
class Listing:
    service: str
    operation: str
    names: Callable[[Any], list[str]]
    """Names in one page."""
    asked: dict[str, Any] = field(default_factory=dict)


LISTS = [
    Listing("s3", "list_objects_v2", lambda page: [each["Key"] for each in page["Contents"]], {"Bucket": BUCKET}),
    Listing("dynamodb", "scan", lambda page: [each["k"]["S"] for each in page["Items"]], {"TableName": "things"}),
    Listing("ssm", "get_parameters_by_path", lambda page: [e["Name"][3:] for e in page["Parameters"]], {"Path": "/p"}),
    Listing("secretsmanager", "list_secrets", lambda page: [each["Name"] for each in page["SecretList"]]),
    Listing("logs", "describe_log_groups", lambda page: [each["logGroupName"][3:] for each in page["logGroups"]]),
    Listing("ecr", "describe_repositories", lambda page: [each["repositoryName"] for each in page["repositories"]]),
    Listing("ecs", "list_clusters", lambda page: [each.rpartition("/")[2] for each in page["clusterArns"]]),
    Listing("iam", "list_roles", lambda page: [each["RoleName"] for each in page["Roles"]]),
    Listing(
        "ec2",
        "describe_security_groups",
        lambda page: [each["GroupName"] for each in page["SecurityGroups"]],
        {"Filters": [{"Name": "group-name", "Values": NAMES}]},
    ),
    Listing("events", "list_rules", lambda page: [each["Name"] for each in page["Rules"]]),
    Listing(
        "cloudwatch",
        "describe_alarms",
        lambda page: [each["AlarmName"] for kind in ("MetricAlarms", "CompositeAlarms") for each in page.get(kind, [])],
        {"AlarmTypes": ["MetricAlarm", "CompositeAlarm"]},
    ),
    Listing("elbv2", "describe_target_groups", lambda page: [e["TargetGroupName"] for e in page["TargetGroups"]]),
]


@pytest.mark.parametrize("listing", LISTS, ids=lambda listing: listing.operation)
def test_a_list_comes_in_pages_and_is_complete_over_all_of_them(listing: Listing, client: Client, kind: Client) -> None:
    def first(client: Client) -> list[str]:
        return listing.names(getattr(client(listing.service), listing.operation)(**listing.asked))

    assert len(first(client)) < len(NAMES)
    pages = client(listing.service).get_paginator(listing.operation).paginate(**listing.asked)
    assert sorted(name for page in pages for name in listing.names(page)) == NAMES
    assert sorted(first(kind)) == NAMES


def test_a_list_that_boto3_does_not_paginate_has_pages_too(client: Client, kind: Client) -> None:
    """ListServiceDeployments is such a list; here it is the versions of a secret."""

    def first(client: Client) -> dict[str, Any]:
        for number in range(6):
            client("secretsmanager").put_secret_value(
                SecretId=NAMES[0], SecretString=str(number), VersionStages=[f"stage-{number}"]
            )
        return dict(client("secretsmanager").list_secret_version_ids(SecretId=NAMES[0]))

    assert len(first(client)["Versions"]) < 6 and first(client)["NextToken"]
    assert len(first(kind)["Versions"]) >= 6 and "NextToken" not in first(kind)


def test_a_list_without_a_promised_order_has_none(client: Client, kind: Client) -> None:
    def orders(client: Client) -> set[tuple[str, ...]]:
        pages = [client("ecr").get_paginator("describe_repositories").paginate() for _ in range(4)]
        return {tuple(e["repositoryName"] for page in each for e in page["repositories"]) for each in pages}

    assert len(orders(client)) > 1
    assert len(orders(kind)) == 1


def test_objects_come_in_the_order_that_s3_promises(client: Client) -> None:
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    assert [each["Key"] for page in pages for each in page["Contents"]] == NAMES


def test_some_calls_are_throttled_and_an_sdk_tries_again(client: Client, kind: Client) -> None:
    def tries(client: Client) -> int:
        ssm = client("ssm")
        answers = [ssm.get_parameter(Name="/p/name-00") for _ in range(600)]
        return max(int(each["ResponseMetadata"]["RetryAttempts"]) for each in answers)

    assert tries(client) == 1
    assert tries(kind) == 0


def test_the_newest_image_is_another_one_the_next_time(client: Client, kind: Client) -> None:
    def images(client: Client) -> set[str]:
        return {client("ssm").get_parameter(Name=NEWEST)["Parameter"]["Value"] for _ in range(2)}

    assert len(images(client)) == 2
    assert len(images(kind)) == 1


def created(client: Client, name: str, resources: dict[str, Any]) -> str:
    cloudformation = client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    while cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"].endswith("PROGRESS"):
        time.sleep(0.05)
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return " ".join(e.get("ResourceStatusReason", "") for e in events if e["ResourceStatus"] == "CREATE_FAILED")


def test_the_first_cluster_of_an_account_fails_once(client: Client, kind: Client) -> None:
    cluster = {"Cluster": {"Type": "AWS::ECS::Cluster"}}
    assert "Unable to assume the service linked role" in created(client, "first-cluster", cluster)
    assert created(client, "second-cluster", cluster) == ""
    assert created(kind, "first-cluster", cluster) == ""


def test_there_are_small_databases_only_and_no_load_balancer_until_the_account_is_upgraded(
    client: Client, kind: Client
) -> None:
    """No service here can assume the role, so no database starts."""
    client("iam").create_service_linked_role(AWSServiceName="rds.amazonaws.com")
    role = {"MonitoringInterval": 60, "MonitoringRoleArn": "arn:aws:iam::000000000000:role/none"}

    def refusal(client: Client, name: str, size: str, days: int) -> str:
        properties = {"DBInstanceClass": size, "BackupRetentionPeriod": days, **role}
        return created(client, name, {"D": {"Type": "AWS::RDS::DBInstance", "Properties": properties}})

    assert "backup retention period exceeds the maximum" in refusal(client, "kept-long", "db.t4g.micro", 2)
    assert "isn't available with free plan accounts" in refusal(client, "large", "db.t4g.small", 1)
    assert "ENHANCED_MONITORING" in refusal(client, "small", "db.t4g.micro", 1)
    assert "free" not in refusal(kind, "large", "db.t4g.small", 7)
    assert "does not support creating load balancers" in created(client, "unpaid-balancer", BALANCER)
    client("freetier").upgrade_account_plan(accountPlanType="PAID")
    assert "ENHANCED_MONITORING" in refusal(client, "paid", "db.t4g.small", 7)


def test_cost_explorer_has_to_be_opened_before_an_anomaly_monitor_is_made(client: Client, kind: Client) -> None:
    """A person opens it in the console."""
    monitor = {"MonitorName": "m", "MonitorType": "DIMENSIONAL", "MonitorDimension": "SERVICE"}
    resources = {"M": {"Type": "AWS::CE::AnomalyMonitor", "Properties": monitor}}
    assert "User not enabled for cost explorer access" in created(client, "monitor", resources)
    assert created(kind, "monitor", resources) == ""


def test_a_sixth_address_is_refused_until_aws_has_granted_more(client: Client, kind: Client) -> None:
    addresses = {f"Address{number}": {"Type": "AWS::EC2::EIP"} for number in range(6)}
    assert "The maximum number of addresses has been reached." in created(client, "addresses", addresses)
    assert created(kind, "addresses", addresses) == ""
    quotas = client("service-quotas")
    quotas.request_service_quota_increase(ServiceCode="ec2", QuotaCode="L-0263D0A3", DesiredValue=6.0)
    time.sleep(1.1)
    assert created(client, "more-addresses", addresses) == ""


def test_a_new_image_replaces_no_instance_that_a_launch_template_describes(client: Client) -> None:
    def update(generation: str) -> str:
        data = {"ImageId": f"resolve:ssm:{NEWEST}"}
        template = {
            "Type": "AWS::EC2::LaunchTemplate",
            "Properties": {"VersionDescription": generation, "LaunchTemplateData": data},
        }
        version = {"LaunchTemplateId": {"Ref": "T"}, "Version": {"Fn::GetAtt": ["T", "LatestVersionNumber"]}}
        subnet = min(each["SubnetId"] for each in client("ec2").describe_subnets()["Subnets"])
        instance = {
            "Type": "AWS::EC2::Instance",
            "Properties": {"InstanceType": "t4g.nano", "LaunchTemplate": version, "SubnetId": subnet},
        }
        cloudformation, body = client("cloudformation"), json.dumps({"Resources": {"T": template, "I": instance}})
        try:
            cloudformation.update_stack(StackName="nat", TemplateBody=body)
        except cloudformation.exceptions.ClientError as error:
            if "does not exist" in str(error):
                cloudformation.create_stack(StackName="nat", TemplateBody=body)
        while (stack := cloudformation.describe_stacks(StackName="nat")["Stacks"][0])["StackStatus"].endswith(
            "PROGRESS"
        ):
            time.sleep(0.05)
        assert stack["StackStatus"].endswith("_COMPLETE")
        found = cloudformation.describe_stack_resource(StackName="nat", LogicalResourceId="I")["StackResourceDetail"]
        return str(found["PhysicalResourceId"])

    first = update("2026-11")
    assert update("2026-11") == first
    assert update("2027-01") != first, "on purpose"
    ids = [
        each["ImageId"]
        for each in client("ec2").describe_instances(InstanceIds=[first])["Reservations"][0]["Instances"]
    ]
    assert ids[0].startswith("ami-")


def test_a_load_balancer_has_capitals_in_its_name(client: Client, kind: Client) -> None:
    def name(client: Client) -> str:
        client("freetier").upgrade_account_plan(accountPlanType="PAID")
        assert created(client, "balancer", BALANCER) == ""
        return str(client("elbv2").describe_load_balancers()["LoadBalancers"][0]["DNSName"])

    assert (found := name(client)) != found.lower()
    assert (found := name(kind)) == found.lower()


def test_an_account_with_enhanced_scanning_says_so_only_where_findings_are(client: Client, kind: Client) -> None:
    manifest = json.dumps({"schemaVersion": 2, "config": {}, "layers": [], "annotations": {"critical": "2"}})

    def state_of(client: Client) -> tuple[bool, str, int]:
        ecr = client("ecr")
        image = ecr.put_image(repositoryName=NAMES[0], imageManifest=manifest)["image"]["imageId"]
        (described,) = ecr.describe_images(repositoryName=NAMES[0], imageIds=[image])["imageDetails"]
        found = ecr.describe_image_scan_findings(repositoryName=NAMES[0], imageId=image)
        counts = found["imageScanFindings"]["findingSeverityCounts"]
        return "imageScanStatus" in described, found["imageScanStatus"]["status"], counts["CRITICAL"]

    assert state_of(client) == (False, "ACTIVE", 2)
    assert state_of(kind) == (True, "COMPLETE", 2)


def test_a_read_that_does_not_ask_to_be_consistent_may_miss_the_last_write(client: Client, kind: Client) -> None:
    def found(client: Client, *, consistent: bool) -> bool:
        dynamodb, key = client("dynamodb"), {"k": {"S": f"new-{consistent}"}}
        dynamodb.put_item(TableName="things", Item=key)
        try:
            return "Item" in dynamodb.get_item(TableName="things", Key=key, ConsistentRead=consistent)
        finally:
            dynamodb.delete_item(TableName="things", Key=key)

    assert found(client, consistent=True)
    assert not found(client, consistent=False)
    assert found(kind, consistent=False)


def test_a_task_that_has_just_begun_is_missing_for_a_moment(client: Client, kind: Client) -> None:
    def seen(client: Client) -> list[int]:
        ecs = client("ecs")
        ecs.register_task_definition(
            family="once", containerDefinitions=[{"name": "a", "image": "public/a"}], cpu="256"
        )
        arn = ecs.run_task(cluster=NAMES[0], taskDefinition="once")["tasks"][0]["taskArn"]
        first = ecs.describe_tasks(cluster=NAMES[0], tasks=[arn])
        assert len(first["tasks"]) + len(first["failures"]) == 1
        time.sleep(0.5)
        return [len(first["tasks"]), len(ecs.describe_tasks(cluster=NAMES[0], tasks=[arn])["tasks"])]

    assert seen(client) == [0, 1]
    assert seen(kind) == [1, 1]
