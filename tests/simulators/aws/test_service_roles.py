"""AWS's services act as the roles that they are given, and containers as their task role."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from simulators.aws.process import Emulator, emulator
from simulators.redis.authority import Authority

ACCOUNT, REGION = "111122223333", "eu-central-1"
ROOT = Path(__file__).resolve().parents[3]
_DIGEST = "ab" * 32
# As an application does it, with no word about credentials.
_WRITER = """
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
const s3 = new S3Client({})
for (const Key of ['media/a', 'private/a'])
  await s3.send(new PutObjectCommand({ Bucket: 'bucket', Key, Body: 'a' })).then(
    () => console.log(Key, 'written'), (error) => console.log(Key, error.name, error.message))
"""
_SERVER = "import http from 'node:http'; http.createServer((_, answer) => answer.end()).listen(4000)"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    nowhere, folder = "http://127.0.0.1:9", tmp_path_factory.mktemp("emulator")
    with emulator(folder, cloudflare=nowhere, upstash=nowhere, authority=Authority()) as found:
        image = found.images / _DIGEST
        image.mkdir(parents=True)
        (image / "writer.mjs").write_text(_WRITER)
        (image / "server.mjs").write_text(_SERVER)
        (image / "node_modules").symlink_to(ROOT / "node_modules")
        client(found, "s3").create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
        client(found, "logs").create_log_group(logGroupName="group")
        client(found, "iam").create_service_linked_role(AWSServiceName="ecs.amazonaws.com")
        client(found, "freetier").upgrade_account_plan(accountPlanType="PAID")
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


def definition(running: Emulator, family: str, role_arn: str, script: str = "writer.mjs", *, port: int = 0) -> str:
    options = {"awslogs-group": "group", "awslogs-stream-prefix": "task", "awslogs-region": REGION}
    container = {
        "name": "app",
        "image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/app@sha256:{_DIGEST}",
        "command": ["node", script],
        "portMappings": [{"containerPort": port}] if port else [],
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
    messages = [each["message"] for each in client(running, "logs").get_log_events(**stream)["events"]]
    messages = [each for each in messages if "/a " in each]  # The SDK warns of Node.js 20.
    caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/writer/{identity}"
    assert messages == [
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


def failures(running: Emulator, name: str, resources: dict[str, Any]) -> list[str]:
    """Why creating a stack with these resources failed, in CloudFormation's words."""
    cloudformation = client(running, "cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    while "IN_PROGRESS" in cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]:
        time.sleep(0.05)
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return [each["ResourceStatusReason"] for each in events if each["ResourceStatus"] == "CREATE_FAILED"]


def denials(running: Emulator) -> set[tuple[str, str]]:
    """(role or service, action) of everything denied so far."""
    calls = map(json.loads, (running.faults.parent / "calls.jsonl").read_text().splitlines())
    return {
        (each["caller"].split("/")[-2], each["action"]) for each in calls if each["denied"] and "/" in each["caller"]
    }


_DESCRIBE = {"Effect": "Allow", "Action": "elasticloadbalancing:Describe*", "Resource": "*"}
_BALANCER = "arn:aws:elasticloadbalancing:*:*"
_TARGETS = {"Action": "elasticloadbalancing:RegisterTargets", "Resource": f"{_BALANCER}:targetgroup/*/*"}
_RULES = {"Action": "elasticloadbalancing:ModifyRule", "Resource": f"{_BALANCER}:listener-rule/app/*/*/*/*"}


def _service(running: Emulator, name: str, balancing: str) -> dict[str, Any]:
    """The resources of a blue/green service, with one task that answers every request."""

    def resource(kind: str, **properties: Any) -> dict[str, Any]:
        return {"Type": f"AWS::{kind}", "Properties": properties}

    def group(suffix: str) -> dict[str, Any]:
        return resource("ElasticLoadBalancingV2::TargetGroup", Name=f"{name}-{suffix}", Port=4000, TargetType="ip")

    def rule(listener: str) -> dict[str, Any]:
        groups = [{"TargetGroupArn": {"Ref": each}, "Weight": weight} for each, weight in (("Blue", 100), ("Green", 0))]
        return resource(
            "ElasticLoadBalancingV2::ListenerRule",
            ListenerArn={"Ref": listener},
            Priority=1,
            Conditions=[{"Field": "host-header", "HostHeaderConfig": {"Values": ["a.example"]}}],
            Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}],
        )

    def listener(port: int) -> dict[str, Any]:
        answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
        return resource(
            "ElasticLoadBalancingV2::Listener",
            LoadBalancerArn={"Ref": "Balancer"}, Port=port, Protocol="HTTP", DefaultActions=[answer],
        )  # fmt: skip

    task = definition(running, name, role(running, f"t-{name}", "ecs-tasks.amazonaws.com"), "server.mjs", port=4000)
    service = resource(
        "ECS::Service",
        Cluster={"Ref": "Cluster"},
        TaskDefinition=task,
        DesiredCount=1,
        LaunchType="FARGATE",
        NetworkConfiguration={"AwsvpcConfiguration": {"Subnets": ["subnet-1"]}},
        DeploymentConfiguration={"Strategy": "BLUE_GREEN"},
        LoadBalancers=[
            {
                "ContainerName": "app",
                "ContainerPort": 4000,
                "TargetGroupArn": {"Ref": "Blue"},
                "AdvancedConfiguration": {
                    "AlternateTargetGroupArn": {"Ref": "Green"},
                    "ProductionListenerRule": {"Ref": "ProductionRule"},
                    "TestListenerRule": {"Ref": "TestRule"},
                    "RoleArn": balancing,
                },
            }
        ],
    )
    return {
        "Balancer": resource("ElasticLoadBalancingV2::LoadBalancer"),
        "Production": listener(443),
        "Test": listener(8443),
        "Blue": group("blue"),
        "Green": group("green"),
        "ProductionRule": rule("Production"),
        "TestRule": rule("Test"),
        "Cluster": resource("ECS::Cluster", ClusterName=name),
        "Service": service,
    }


@pytest.mark.parametrize(
    ("name", "trusted", "grants", "expected"),
    [
        ("whole", "ecs.amazonaws.com", [_TARGETS, _RULES], None),
        ("rule", "ecs.amazonaws.com", [_TARGETS], "perform: elasticloadbalancing:ModifyRule on resource: arn:aws:"),
        ("targets", "ecs.amazonaws.com", [_RULES], "perform: elasticloadbalancing:RegisterTargets on resource: arn:"),
        ("trust", "ec2.amazonaws.com", [_TARGETS, _RULES], "Unable to assume role and validate"),
    ],
)
def test_a_service_moves_its_traffic_as_the_role_that_it_names(
    name: str, trusted: str, grants: list[dict[str, Any]], expected: str | None, running: Emulator
) -> None:
    balancing = role(running, f"b-{name}", trusted, _DESCRIBE, *({"Effect": "Allow", **each} for each in grants))
    found = failures(running, name, _service(running, name, balancing))
    if expected is None:
        assert found == []
    else:
        assert expected in found[0]


def test_logs_of_a_load_balancer_need_a_bucket_that_lets_it_write(running: Emulator) -> None:
    balancer = {
        "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "DependsOn": "Policy",
        "Properties": {
            "LoadBalancerAttributes": [
                {"Key": "access_logs.s3.enabled", "Value": "true"},
                {"Key": "access_logs.s3.bucket", "Value": "access-logs"},
                {"Key": "access_logs.s3.prefix", "Value": "alb"},
            ]
        },
    }
    resources = {"Logs": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "access-logs"}}, "Balancer": balancer}
    lets = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::054676820928:root"}, "Action": "s3:PutObject"}
    for name, path, is_refused in (("logs", f"alb/AWSLogs/{ACCOUNT}/*", False), ("elsewhere", "nlb/*", True)):
        statement = {**lets, "Resource": f"arn:aws:s3:::access-logs/{path}"}
        properties = {"Bucket": {"Ref": "Logs"}, "PolicyDocument": {"Statement": [statement]}}
        found = failures(
            running, name, {**resources, "Policy": {"Type": "AWS::S3::BucketPolicy", "Properties": properties}}
        )
        assert (
            any("Access Denied for bucket: access-logs. Please check S3bucket" in each for each in found) is is_refused
        )
        client(running, "cloudformation").delete_stack(StackName=name)
        client(running, "cloudformation").get_waiter("stack_delete_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1}
        )


@pytest.mark.parametrize("trusted", ["rds.amazonaws.com", "monitoring.rds.amazonaws.com"])
def test_enhanced_monitoring_needs_a_role_that_it_can_enter_and_that_writes_logs(
    trusted: str, running: Emulator
) -> None:
    """The first role trusts another service, the second has no policy."""
    name = trusted.partition(".")[0]
    properties = {"MonitoringInterval": 60, "MonitoringRoleArn": role(running, f"m-{name}", trusted)}
    (output,) = failures(
        running, f"db-{name}", {"Database": {"Type": "AWS::RDS::DBInstance", "Properties": properties}}
    )
    assert (
        "IAM role ARN value is invalid or does not include the required permissions for: ENHANCED_MONITORING" in output
    )


def test_flow_logs_that_cannot_be_written_are_recorded(running: Emulator) -> None:
    reads = {"Effect": "Allow", "Action": ["logs:DescribeLogStreams", "logs:CreateLogStream"], "Resource": "*"}
    properties = {
        "ResourceId": {"Ref": "Vpc"},
        "ResourceType": "VPC",
        "LogGroupName": "group",
        "DeliverLogsPermissionArn": role(running, "flow", "vpc-flow-logs.amazonaws.com", reads),
    }
    vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
    resources = {"Vpc": vpc, "Log": {"Type": "AWS::EC2::FlowLog", "Properties": properties}}
    # AWS creates it, and says "Access error" afterwards.
    assert failures(running, "flow", resources) == []
    assert ("flow", "logs:PutLogEvents") in denials(running)


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        ("ec2.amazonaws.com", "The role defined for the function cannot be assumed by Lambda."),
        (
            "lambda.amazonaws.com",
            "The provided execution role does not have permissions to call CreateNetworkInterface on EC2",
        ),
    ],
)
def test_a_function_in_a_network_needs_a_role_that_lambda_can_use_there(
    trusted: str, expected: str, running: Emulator
) -> None:
    name = f"f-{trusted.partition('.')[0]}"
    properties = {
        "Role": role(running, name, trusted),
        "Runtime": "python3.14",
        "Handler": "index.handler",
        "Code": {"ZipFile": "def handler(*_): return 1"},
        "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
    }
    function = {"Type": "AWS::Lambda::Function", "Properties": properties}
    assert expected in failures(running, name, {"Function": function})[0]


def test_a_log_of_a_function_that_may_not_write_it_never_arrives(running: Emulator) -> None:
    properties = {
        "FunctionName": "silent",
        "Role": role(running, "silent", "lambda.amazonaws.com"),
        "Runtime": "python3.14",
        "Handler": "index.handler",
        "Code": {"ZipFile": "def handler(*_): return 1"},
    }
    assert failures(running, "silent", {"Function": {"Type": "AWS::Lambda::Function", "Properties": properties}}) == []
    client(running, "lambda").invoke(FunctionName="silent")
    assert ("silent", "logs:CreateLogGroup") in denials(running)
    groups = client(running, "logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/silent")["logGroups"]
    assert groups == []
