"""What IAM denies, the emulator denies: calls of small roles, in AWS's own words."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from simulators.aws.conditions import Condition
from simulators.aws.process import emulator
from simulators.redis.authority import Authority

ACCOUNT, REGION = "111122223333", "eu-central-1"
ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
GITHUB = "token.actions.githubusercontent.com"
Client = Callable[..., Any]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    nowhere = "http://127.0.0.1:9"
    folder = tmp_path_factory.mktemp("emulator")
    with emulator(folder, cloudflare=nowhere, upstash=nowhere, authority=Authority()) as running:
        yield running.url


def client(url: str, service: str, keys: dict[str, str] | None = None) -> Any:
    """The root of the account, or the owner of an access key."""
    keys = keys or {"AccessKeyId": ACCOUNT, "SecretAccessKey": "rehearsal"}
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys.get("SessionToken"),
    )


def allow(*actions: str, on: str | list[str], **condition: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": on,
        **({"Condition": condition} if condition else {}),
    }


@pytest.fixture
def role(url: str, request: pytest.FixtureRequest) -> Client:
    """Clients of a role with these statements, which exists for one test."""

    def of(service: str, *statements: dict[str, Any]) -> Any:
        name = f"r{abs(hash(request.node.name + json.dumps(statements)))}"
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}]}
        iam = client(url, "iam")
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps({"Statement": list(statements)}))
        keys = client(url, "sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return client(url, service, keys)

    return of


def denial(call: Callable[..., Any], **request: Any) -> str:
    """AWS's denial; "" if the call was allowed, even if it then failed."""
    try:
        call(**request)
    except ClientError as error:
        value = error.response["Error"]
        return (
            value["Message"]
            if value["Code"] in {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
            else ""
        )
    return ""


REVISION = f"{ARN}:service-revision/main/api/1"
DEPLOYMENT = f"{ARN}:service-deployment/main/api/1"


def test_a_denial_is_worded_as_aws_words_it(role: Client) -> None:
    ecs = role("ecs", allow("ecs:ListTasks", on="*"))
    refusal = denial(ecs.describe_services, cluster="main", services=["api"])
    assert refusal.startswith(f"User: arn:aws:sts::{ACCOUNT}:assumed-role/")
    assert refusal.endswith(
        f"is not authorized to perform: ecs:DescribeServices on resource: {ARN}:service/main/api "
        "because no identity-based policy allows the ecs:DescribeServices action"
    )


@pytest.mark.parametrize(
    ("call", "named", "statement_on"),
    [
        ("describe_service_revisions", {"serviceRevisionArns": [REVISION]}, f"{ARN}:service-revision/*"),
        ("describe_service_deployments", {"serviceDeploymentArns": [DEPLOYMENT]}, f"{ARN}:service-deployment/*"),
    ],
)
def test_reading_a_services_deployments_needs_permission_on_the_service(
    call: str, named: dict[str, Any], statement_on: str, role: Client
) -> None:
    action = "ecs:" + "".join(word.capitalize() for word in call.split("_"))
    refusal = denial(getattr(role("ecs", allow(action, on=statement_on)), call), **named)
    assert f"{action} on resource: {ARN}:service/main/api" in refusal
    both = role("ecs", allow(action, on=statement_on), allow(action, on=f"{ARN}:service/main/api"))
    assert denial(getattr(both, call), **named) == ""


_IN_MAIN = {"ArnEquals": {"ecs:cluster": f"{ARN}:cluster/main"}}
_PARAMETERS = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/app"
_PREFIX_LIST = f"arn:aws:ec2:{REGION}:{ACCOUNT}:prefix-list/pl-1"
_LOG = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:g:*"
_APP = {"StringEquals": {"cloudwatch:namespace": "App"}}


@pytest.mark.parametrize(
    ("call", "request_", "statement"),
    [
        ("list_tasks", {"cluster": "main"}, allow("ecs:ListTasks", on="*", **_IN_MAIN)),
        ("describe_tasks", {"cluster": "main", "tasks": ["1"]}, allow("ecs:DescribeTasks", on=f"{ARN}:task/main/*")),
        ("stop_task", {"cluster": "main", "task": "1"}, allow("ecs:StopTask", on=f"{ARN}:task/main/*")),
        (
            "update_service",
            {"cluster": "main", "service": "api"},
            allow("ecs:UpdateService", on=f"{ARN}:service/main/api"),
        ),
        (
            "get_managed_prefix_list_entries",
            {"PrefixListId": "pl-1"},
            allow("ec2:GetManagedPrefixListEntries", on=_PREFIX_LIST),
        ),
        ("get_parameters", {"Names": ["/app/a"]}, allow("ssm:GetParameters", on=f"{_PARAMETERS}/a")),
        ("get_parameters_by_path", {"Path": "/app/"}, allow("ssm:GetParametersByPath", on=f"{_PARAMETERS}/*")),
        ("put_metric_data", {"Namespace": "App", "MetricData": []}, allow("cloudwatch:PutMetricData", on="*", **_APP)),
        ("get_log_events", {"logGroupName": "g", "logStreamName": "s"}, allow("logs:GetLogEvents", on=_LOG)),
    ],
)
def test_a_call_needs_exactly_its_resource(
    call: str, request_: dict[str, Any], statement: dict[str, Any], role: Client
) -> None:
    service = statement["Action"][0].partition(":")[0]
    assert denial(getattr(role(service, statement), call), **request_) == ""
    condition = json.loads(json.dumps(statement.get("Condition", {})).replace("main", "other").replace("App", "Other"))
    elsewhere = {**statement, **({"Condition": condition} if condition else {})}
    if not condition:
        elsewhere["Resource"] = statement["Resource"].replace(ACCOUNT, "444455556666")
    assert f"is not authorized to perform: {statement['Action'][0]} on resource: " in denial(
        getattr(role(service, elsewhere), call), **request_
    )


def test_a_prefix_list_is_recognized_by_its_tag(role: Client) -> None:
    lists = f"arn:aws:ec2:{REGION}:{ACCOUNT}:prefix-list/*"
    asked, tagged = ({"StringEquals": {f"aws:{where}Tag/owner": "us"}} for where in ("Request", "Resource"))
    creates = allow("ec2:CreateManagedPrefixList", on=lists, **asked)
    may_tag = allow("ec2:CreateTags", on=lists, StringEquals={"ec2:CreateAction": "CreateManagedPrefixList"})
    ours = role("ec2", creates, may_tag, allow("ec2:DeleteManagedPrefixList", on=lists, **tagged))
    others = role("ec2", allow("ec2:CreateManagedPrefixList", "ec2:CreateTags", on=lists))
    assert "ec2:CreateManagedPrefixList on resource" in denial(ours.create_managed_prefix_list, **_prefix_list("them"))
    assert "ec2:CreateTags on resource" in denial(role("ec2", creates).create_managed_prefix_list, **_prefix_list("us"))
    theirs = others.create_managed_prefix_list(**_prefix_list("them"))["PrefixList"]["PrefixListId"]
    assert "ec2:DeleteManagedPrefixList" in denial(ours.delete_managed_prefix_list, PrefixListId=theirs)
    own = ours.create_managed_prefix_list(**_prefix_list("us"))["PrefixList"]["PrefixListId"]
    assert denial(ours.delete_managed_prefix_list, PrefixListId=own) == ""


def _prefix_list(owner: str) -> dict[str, Any]:
    tags = [{"ResourceType": "prefix-list", "Tags": [{"Key": "owner", "Value": owner}]}]
    return {"PrefixListName": "p", "AddressFamily": "IPv4", "MaxEntries": 1, "TagSpecifications": tags}


def test_an_action_without_resource_level_permissions_needs_a_wildcard(role: Client) -> None:
    action, request = "ecs:DescribeTaskDefinition", {"taskDefinition": "api:1"}
    assert denial(role("ecs", allow(action, on=f"{ARN}:task-definition/*")).describe_task_definition, **request)
    assert denial(role("ecs", allow(action, on="*")).describe_task_definition, **request) == ""


def test_listing_the_tasks_of_a_cluster_needs_a_wildcard(role: Client) -> None:
    on_instances = allow("ecs:ListTasks", on=f"{ARN}:container-instance/*", **_IN_MAIN)
    refusal = denial(role("ecs", on_instances).list_tasks, cluster="main", serviceName="api")
    assert "is not authorized to perform: ecs:ListTasks on resource: * because" in refusal


def test_a_batch_delete_needs_both_actions(url: str, role: Client) -> None:
    client(url, "s3").create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    objects = {"Objects": [{"Key": "a", "VersionId": "1"}]}
    everything = "arn:aws:s3:::bucket/*"
    for missing, has in (("s3:DeleteObject", "s3:DeleteObjectVersion"), ("s3:DeleteObjectVersion", "s3:DeleteObject")):
        s3 = role("s3", allow(has, on=everything))
        assert f"{missing} on resource: arn:aws:s3:::bucket/a" in denial(
            s3.delete_objects, Bucket="bucket", Delete=objects
        )
    s3 = role("s3", allow("s3:DeleteObject", "s3:DeleteObjectVersion", on=everything))
    assert denial(s3.delete_objects, Bucket="bucket", Delete=objects) == ""


def _to(service: str) -> dict[str, Any]:
    return {"StringEquals": {"iam:PassedToService": service}}


def test_running_a_task_needs_to_pass_its_roles(url: str, role: Client) -> None:
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]}
    passed = client(url, "iam").create_role(RoleName="task", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    definition = client(url, "ecs").register_task_definition(
        family="once", taskRoleArn=passed, containerDefinitions=[{"name": "a", "image": "public/a"}]
    )["taskDefinition"]["taskDefinitionArn"]
    run = allow("ecs:RunTask", on=f"{ARN}:task-definition/once:*")
    refusal = denial(role("ecs", run).run_task, cluster="main", taskDefinition=definition)
    assert f"iam:PassRole on resource: {passed}" in refusal
    wrong = role("ecs", run, allow("iam:PassRole", on=passed, **_to("lambda.amazonaws.com")))
    assert "iam:PassRole" in denial(wrong.run_task, cluster="main", taskDefinition=definition)
    right = role("ecs", run, allow("iam:PassRole", on=passed, **_to("ecs-tasks.amazonaws.com")))
    assert denial(right.run_task, cluster="main", taskDefinition=definition) == ""


@pytest.mark.parametrize(("name", "is_denied"), [("app/redis-url", False), ("app/redis-secret", True)])
def test_a_task_finds_a_secret_without_its_suffix_unless_the_name_looks_like_one(
    name: str, is_denied: bool, url: str
) -> None:
    client(url, "secretsmanager").create_secret(Name=name, SecretString="x")
    secret, role = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}", name.replace("/", "-")
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]}
    iam = client(url, "iam")
    made = iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    read = {"Statement": [allow("secretsmanager:GetSecretValue", on=f"{secret}-??????")]}
    iam.put_role_policy(RoleName=role, PolicyName="read", PolicyDocument=json.dumps(read))
    ecs = client(url, "ecs")
    container = {"name": "a", "image": "public/a", "secrets": [{"name": "URL", "valueFrom": secret}]}
    ecs.register_task_definition(family=role, executionRoleArn=made, containerDefinitions=[container], cpu="256")
    task = ecs.run_task(cluster="main", taskDefinition=role)["tasks"][0]["taskArn"]
    while not (found := ecs.describe_tasks(cluster="main", tasks=[task])["tasks"]):
        time.sleep(0.05)
    (stopped,) = found
    assert stopped["lastStatus"] == "STOPPED"  # There is no such image.
    assert (f"secretsmanager:GetSecretValue on resource: {secret} " in stopped["stoppedReason"]) is is_denied


def test_a_cached_public_image_is_pulled_by_who_may_import_it(url: str) -> None:
    rule = {"EcrRepositoryPrefix": "cache", "UpstreamRegistryUrl": "public.ecr.aws"}
    template = {"Resources": {"Rule": {"Type": "AWS::ECR::PullThroughCacheRule", "Properties": rule}}}
    cloudformation = client(url, "cloudformation")
    cloudformation.create_stack(StackName="cache", TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="cache", WaiterConfig={"Delay": 1})
    name = "cache/docker/library/busybox"
    repository = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}"
    image = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}:1"
    pull = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    imports = [*pull, "ecr:BatchImportUpstreamImage"]
    assert f"ecr:BatchImportUpstreamImage on resource: {repository}" in _why_it_stopped(
        url, "pulls", image, repository, pull
    )
    assert f"ecr:CreateRepository on resource: {repository}" in _why_it_stopped(
        url, "imports", image, repository, imports
    )
    client(url, "ecr").create_repository(repositoryName=name)
    assert "CannotPull" not in _why_it_stopped(url, "imports-again", image, repository, imports)
    by_digest = image.replace(":1", f"@sha256:{'0' * 64}")
    assert "not found" in _why_it_stopped(url, "imports-by-digest", by_digest, repository, imports)


def _why_it_stopped(url: str, name: str, image: str, repository: str, actions: list[str]) -> str:
    """Stop reason of a task whose execution role has these permissions."""
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]}
    iam, ecs = client(url, "iam"), client(url, "ecs")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    granted = {"Statement": [allow("ecr:GetAuthorizationToken", on="*"), allow(*actions, on=repository)]}
    iam.put_role_policy(RoleName=name, PolicyName="pull", PolicyDocument=json.dumps(granted))
    container = {"name": "a", "image": image, "command": ["true"]}
    ecs.register_task_definition(family=name, executionRoleArn=made, containerDefinitions=[container], cpu="256")
    task = ecs.run_task(cluster="main", taskDefinition=name)["tasks"][0]["taskArn"]
    give_up = time.monotonic() + 30
    while (
        not (found := ecs.describe_tasks(cluster="main", tasks=[task])["tasks"]) or found[0]["lastStatus"] != "STOPPED"
    ):
        assert time.monotonic() < give_up, found
        time.sleep(0.05)
    return str(found[0]["stoppedReason"])


def test_who_updates_a_stack_reads_the_bootstrap_version(url: str, role: Client) -> None:
    """Reports disagree (aws-cdk #10083, #20959); the emulator demands the stricter permission."""
    client(url, "ssm").put_parameter(Name="/cdk-bootstrap/q/version", Value="30", Type="String")
    parameter = {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/cdk-bootstrap/q/version"}
    topic = {"Topic": {"Type": "AWS::SNS::Topic"}}
    template = json.dumps({"Parameters": {"BootstrapVersion": parameter}, "Resources": topic})
    client(url, "cloudformation").create_stack(StackName="s", TemplateBody=template)
    update = allow("cloudformation:UpdateStack", on=f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/s/*")
    refusal = denial(role("cloudformation", update).update_stack, StackName="s", UsePreviousTemplate=True)
    assert "ssm:GetParameters on resource:" in refusal
    reads = allow("ssm:GetParameters", on=f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/cdk-bootstrap/q/version")
    both = role("cloudformation", update, reads)
    assert denial(both.update_stack, StackName="s", UsePreviousTemplate=True) == ""


def _token(**claims: str) -> str:
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "RS256"}, {"iss": f"https://{GITHUB}", **claims})
    ]
    return ".".join([*encoded, "signature"])


_SUBJECT = "repo:owner/app:environment:dev"
_NOT_AUTHORIZED = "Not authorized to perform sts:AssumeRoleWithWebIdentity"


@pytest.fixture(scope="module")
def github_role(url: str) -> str:
    """ARN of a role that trusts one repository's environment for an hour, in an account with GitHub's provider."""
    iam = client(url, "iam")
    iam.create_open_id_connect_provider(Url=f"https://{GITHUB}", ClientIDList=["sts.amazonaws.com"])
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{GITHUB}"},
        "Condition": {"StringEquals": {f"{GITHUB}:aud": "sts.amazonaws.com", f"{GITHUB}:sub": _SUBJECT}},
    }
    made = iam.create_role(RoleName="github", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    return str(made["Role"]["Arn"])


def _refusal(url: str, role: str, token: str, seconds: int = 3600) -> str:
    """AWS's error; "" if the token may assume the role."""
    try:
        client(url, "sts").assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="github", WebIdentityToken=token, DurationSeconds=seconds
        )
    except ClientError as error:
        return str(error.response["Error"]["Message"])
    return ""


@pytest.mark.parametrize(
    ("subject", "audience", "expected"),
    [
        (_SUBJECT, "sts.amazonaws.com", ""),
        (f"{_SUBJECT}-preview", "sts.amazonaws.com", _NOT_AUTHORIZED),
        ("repo:owner/app:ref:refs/heads/main", "sts.amazonaws.com", _NOT_AUTHORIZED),
        ("repo:owner@1/app@2:environment:dev", "sts.amazonaws.com", _NOT_AUTHORIZED),
        (_SUBJECT, "https://github.com/owner", "Incorrect token audience"),
    ],
)
def test_a_token_of_github_enters_the_role_that_trusts_it(
    subject: str, audience: str, expected: str, url: str, github_role: str
) -> None:
    assert _refusal(url, github_role, _token(sub=subject, aud=audience)) == expected


def test_no_session_lasts_longer_than_the_role_allows(url: str, github_role: str) -> None:
    refusal = _refusal(url, github_role, _token(sub=_SUBJECT, aud="sts.amazonaws.com"), seconds=3601)
    assert refusal == "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."


def test_a_token_of_an_unknown_provider_enters_nothing(url: str, github_role: str) -> None:
    elsewhere = {"iss": "https://token.actions.example.com", "sub": _SUBJECT, "aud": "sts.amazonaws.com"}
    refusal = _refusal(url, github_role, _token(**elsewhere))
    assert refusal == "No OpenIDConnect provider found in your account for https://token.actions.example.com"


def test_every_stack_is_described_only_to_who_may_list_them(role: Client) -> None:
    describe = allow("cloudformation:DescribeStacks", on="*")
    assert "cloudformation:ListStacks on resource: *" in denial(role("cloudformation", describe).describe_stacks)
    both = role("cloudformation", describe, allow("cloudformation:ListStacks", on="*"))
    assert denial(both.describe_stacks) == ""


def test_without_the_condition_everything_is_allowed(tmp_path_factory: pytest.TempPathFactory) -> None:
    nowhere, folder = "http://127.0.0.1:9", tmp_path_factory.mktemp("without")
    with emulator(
        folder, cloudflare=nowhere, upstash=nowhere, authority=Authority(), without=[Condition.IAM]
    ) as running:
        made_up = {"AccessKeyId": "AKIAMADEUP", "SecretAccessKey": "x"}
        assert denial(client(running.url, "ecs", made_up).list_clusters) == ""


_OWN_ACCOUNT = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def _topic(url: str, name: str, service: str, condition: dict[str, Any]) -> tuple[str, str]:
    """An encrypted topic that the service may publish to, under the condition in the key's policy; and its queue."""
    lets_in = {"Effect": "Allow", "Principal": {"Service": service}, "Resource": "*"}
    on_key = {**lets_in, "Action": ["kms:GenerateDataKey*", "kms:Decrypt"], "Condition": condition}
    key = client(url, "kms").create_key(Policy=json.dumps({"Statement": [on_key]}))["KeyMetadata"]["Arn"]
    on_topic = {**lets_in, "Action": "sns:Publish"}
    attributes = {"KmsMasterKeyId": key, "Policy": json.dumps({"Statement": [on_topic]})}
    topic = client(url, "sns").create_topic(Name=name, Attributes=attributes)["TopicArn"]
    endpoint = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
    takes = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Statement": [{**takes, "Resource": endpoint}]})
    queue = client(url, "sqs").create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
    client(url, "sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=endpoint)
    return topic, queue


def _arrives(url: str, queue: str) -> bool:
    return bool(client(url, "sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=0).get("Messages"))


@pytest.mark.parametrize(("condition", "arrives"), [({}, True), (_OWN_ACCOUNT, False)], ids=["free", "own account"])
def test_eventbridge_sends_no_source_account_to_a_key(condition: dict[str, Any], arrives: bool, url: str) -> None:
    name = f"events-{arrives}"
    topic, queue = _topic(url, name, "events.amazonaws.com", condition)
    events = client(url, "events")
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    events.put_targets(Rule=name, Targets=[{"Id": "topic", "Arn": topic}])
    events.put_events(Entries=[{"Source": name, "DetailType": "test", "Detail": "{}"}])
    assert _arrives(url, queue) is arrives


@pytest.mark.parametrize(
    ("condition", "arrives"),
    [(_OWN_ACCOUNT, True), ({"StringEquals": {"aws:SourceAccount": "444455556666"}}, False)],
    ids=["own account", "another account"],
)
def test_an_alarm_sends_its_source_account(condition: dict[str, Any], arrives: bool, url: str) -> None:
    name = f"alarm-{arrives}"
    topic, queue = _topic(url, name, "cloudwatch.amazonaws.com", condition)
    cloudwatch = client(url, "cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name, AlarmActions=[topic], MetricName="m", Namespace="n", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold", Statistic="Sum",
    )  # fmt: skip
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    assert _arrives(url, queue) is arrives
