"""Who may become which role from GitHub: of every environment, with every token that is nearly right."""

import copy
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

import app
from config import ENVIRONMENTS, available, load
from config.model import Environment
from config.rules import DEPLOYMENT_MINUTES
from config.services import github_environment, github_preview_environment, released, repositories
from rehearsal.variants import forked_today
from tests.trust import ISSUER, admits, subjects
from tests.workflows import read

Templates = dict[str, dict[str, Any]]
ROOT = Path(__file__).resolve().parents[2]
AUDIENCE = "sts.amazonaws.com"


@pytest.fixture(scope="module")
def forked(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, Templates]:
    """dev, which has a role of each kind, with repositories whose subjects have ids."""
    environments = forked_today(ENVIRONMENTS, "dev", into=tmp_path_factory.mktemp("forked") / "environments")
    found = load(["dev"], directory=environments)
    root = cdk.App(context=context)
    app.build(root, found)
    nested = root.synth().get_nested_assembly("assembly-dev")
    return found["dev"], {stack.display_name: stack.template for stack in nested.stacks}


def roles(templates: Templates, name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(repository, GitHub environment, role) of each role that GitHub's tokens may assume."""
    for stack, template in templates.items():
        for role in template["Resources"].values():
            if not stack.startswith(f"{name}/") or role["Type"] != "AWS::IAM::Role":
                continue
            for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
                if "Federated" in statement.get("Principal", {}):
                    output = re.search(r"from (\S+), environment (\S+)$", role["Properties"]["Description"])
                    assert output is not None
                    yield output[1], output[2], role["Properties"]


@pytest.mark.parametrize("name", available())
def test_each_role_trusts_one_repository_in_one_environment(name: str, templates: Templates) -> None:
    environment = load([name])[name]
    others = {load([other])[other].delivery.environment for other in available() if other != name}
    trusts_nobody_else(environment, templates, name, others)


def test_each_role_trusts_a_repository_by_its_ids_where_they_are_written_down(
    forked: tuple[Environment, Templates],
) -> None:
    environment, templates = forked
    assert list(repositories(environment).values()) == [
        "daadaar@70001/infrastructure@9000003",
        "daadaar@70001/backend@9000001",
        "daadaar@70001/frontend@9000002",
    ]
    trusts_nobody_else(environment, templates, "dev", {"staging", "production"})


def trusts_nobody_else(environment: Environment, templates: Templates, name: str, others: set[str]) -> None:
    delivery = environment.delivery
    found = list(roles(templates, name))
    wanted = {
        (delivery.repository, delivery.environment),
        (delivery.repository, f"{delivery.environment}-drift"),
        *((str(own.repository), github_environment(environment, each)) for each, own in released(environment).items()),
    }
    if environment.previews is not None:
        wanted |= {
            (str(own.repository), github_preview_environment(environment, each))
            for each, own in released(environment).items()
        }
    assert len(found) == len(wanted)
    assert {(repository, where) for repository, where, _ in found} == wanted
    every = {f"repo:{repository}:environment:{where}" for repository, where, _ in found}
    for repository, where, role in found:
        policy = role["AssumeRolePolicyDocument"]
        intended = f"repo:{repository}:environment:{where}"
        assert admits(policy, {"aud": AUDIENCE, "sub": intended}), repository
        wrong = {*subjects(repository, where), *every} - {intended}
        wrong |= {f"repo:{repository}:environment:{other}" for other in others}
        assert len(wrong) >= 24
        assert [each for each in wrong if admits(policy, {"aud": AUDIENCE, "sub": each})] == [], repository
        for audience in ("https://github.com/daadaar", "STS.amazonaws.com", "sts.amazonaws.com.evil.example", ""):
            assert not admits(policy, {"aud": audience, "sub": intended}), audience
        assert not admits(policy, {"sub": intended})
        assert not admits(policy, {"aud": AUDIENCE})


LOOSENED: dict[str, Callable[[dict[str, Any]], None]] = {
    "any environment": lambda c: c.update(StringLike={f"{ISSUER}:sub": "repo:daadaar/backend:*"}),
    "no subject": lambda c: c["StringEquals"].pop(f"{ISSUER}:sub"),
    "no audience": lambda c: c["StringEquals"].pop(f"{ISSUER}:aud"),
    "a prefix": lambda c: c.update(StringLike={f"{ISSUER}:sub": "repo:daadaar/backend*:environment:production-api"}),
    "any case": lambda c: c.update(
        StringEqualsIgnoreCase={f"{ISSUER}:sub": "repo:daadaar/backend:environment:production-api"}
    ),
    "if there is one": lambda c: c.update(
        StringEqualsIfExists={f"{ISSUER}:sub": "repo:daadaar/backend:environment:production-api"}
    ),
}


@pytest.mark.parametrize("how", LOOSENED)
def test_a_looser_trust_policy_is_detected(how: str, templates: Templates) -> None:
    role = next(role for repository, _, role in roles(templates, "production") if repository == "daadaar/backend")
    policy = copy.deepcopy(role["AssumeRolePolicyDocument"])
    condition = policy["Statement"][0]["Condition"]
    LOOSENED[how](condition)
    for operator in ("StringLike", "StringEqualsIgnoreCase", "StringEqualsIfExists"):
        if operator in condition:
            del condition["StringEquals"][f"{ISSUER}:sub"]
    tokens = [{"aud": AUDIENCE, "sub": each} for each in subjects("daadaar/backend", "production-api")]
    tokens += [{"aud": "x", "sub": "repo:daadaar/backend:environment:production-api"}, {"aud": AUDIENCE}]
    assert [token for token in tokens if admits(policy, token)]


def test_roles_last_as_long_as_their_job_and_are_bounded_by_what_they_may(templates: Templates) -> None:
    workflows = read(ROOT / ".github" / "workflows")
    jobs = {"cdk deploy": ("deploy-environment.yml", "deploy"), "Releases": ("service-release.yml", "release"),
            "Drift": ("drift.yml", "drift"), "Previews": ("service-preview.yml", "preview")}  # fmt: skip
    for name in available():
        for repository, _, role in roles(templates, name):
            file, job = next(job for what, job in jobs.items() if role["Description"].startswith(what))
            steps = workflows[file]["jobs"][job]["steps"]
            (asked,) = [
                each["with"]["role-duration-seconds"] for each in steps if "role-to-assume" in each.get("with", {})
            ]
            assert role["MaxSessionDuration"] == asked, repository
            minutes = workflows[file]["jobs"][job]["timeout-minutes"]
            assert 60 * minutes <= asked, repository
            if asked > 3600:
                assert DEPLOYMENT_MINUTES + 20 <= minutes <= 360, repository
            assert "Ref" in role["PermissionsBoundary"], repository
            assert role["ManagedPolicyArns"] == [role["PermissionsBoundary"]], repository
            assert "Policies" not in role, repository


def statements(templates: Templates, name: str, repository: str, environment: str) -> list[dict[str, Any]]:
    """Statements of the role for this repository and GitHub environment."""
    resources, wanted = templates[f"{name}/Delivery"]["Resources"], (repository, environment)
    role = next(role for of, where, role in roles(templates, name) if (of, where) == wanted)
    policy = resources[role["PermissionsBoundary"]["Ref"]]["Properties"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def _actions(statement: dict[str, Any]) -> list[str]:
    return [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


@pytest.mark.parametrize("name", available())
def test_a_pipeline_releases_its_own_service_and_nothing_else(name: str, templates: Templates) -> None:
    environment = load([name])[name]
    for service, own in released(environment).items():
        found = statements(templates, name, str(own.repository), github_environment(environment, service))
        reads = ("Describe", "List", "Get", "BatchGet", "BatchCheck", "Filter")
        every = {action for each in found for action in _actions(each)}
        changes = {action for action in every if not action.split(":")[1].startswith(reads)}
        uploads = {"s3:PutObject"} if service == "frontend" else set()
        assert changes == uploads | {
            "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
            "lambda:InvokeFunction", "dynamodb:Query",
        }  # fmt: skip
        for each in found:
            if "s3:PutObject" in _actions(each):
                assert each["Resource"].endswith("/_next/static/*"), each
        assert not [each for each in found if each["Effect"] != "Allow"]
        (invoke,) = [each for each in found if "lambda:InvokeFunction" in _actions(each)]
        control = templates[f"{name}/Delivery"]["Resources"][invoke["Resource"]["Fn::GetAtt"][0]]["Properties"]
        assert control["Handler"] == "infra_runtime.release.control.handler"
        assert control["Environment"]["Variables"]["SERVICE"] == service
        for each in found:
            if any(action in changes for action in _actions(each)):
                assert each["Resource"] != "*", each
        secretive = {"secretsmanager:GetSecretValue", "kms:Decrypt", "s3:GetObject", "iam:PassRole", "sts:AssumeRole"}
        assert not secretive & every


@pytest.mark.parametrize("name", available())
def test_this_repository_can_assume_only_cdks_roles(name: str, templates: Templates) -> None:
    delivery = load([name])[name].delivery
    become, *reads = statements(templates, name, delivery.repository, delivery.environment)
    assert become["Action"] == "sts:AssumeRole"
    assert all(":role/cdk-hnb659fds-" in str(each) and "*" not in str(each) for each in become["Resource"])
    actions = {action.partition(":")[2] for each in reads for action in _actions(each)}
    assert actions == {
        "DescribeStacks", "DescribeStackEvents", "GetTemplate", "ListStackResources", "ListStacks", "DescribeRules",
        "DescribeDBInstances", "DescribeReplicationGroups", "GetDomainAssociation", "ListJobs",
        "ListServiceDeployments",
        "DescribeAlarms", "DescribeServices", "Query", "ListOpenIDConnectProviders", "ListRoles",
        "GetAWSDefaultServiceQuota", "GetServiceQuota", "ListRequestedServiceQuotaChangeHistoryByQuota",
        "ListSubscriptionsByTopic", "DescribeSlackWorkspaces", "DescribeSlackChannelConfigurations",
    }  # fmt: skip


@pytest.mark.parametrize("name", available())
def test_the_drift_role_reads_settings_and_no_data(name: str, templates: Templates) -> None:
    delivery = load([name])[name].delivery
    found = statements(templates, name, delivery.repository, f"{delivery.environment}-drift")
    actions = {action for each in found for action in _actions(each)}
    reads = re.compile(r"[a-z0-9-]+:(Describe|Get|List|Detect)[A-Za-z]*\*?|budgets:ViewBudget")
    assert [each for each in actions if not reads.fullmatch(each)] == []
    data = ("s3:GetObject", "secretsmanager:GetSecretValue", "ssm:GetParameter", "logs:GetLogEvents", "kms:Decrypt",
            "dynamodb:GetItem", "lambda:InvokeFunction")  # fmt: skip
    granted = [action for action in data for each in actions if fnmatch(action, each)]
    assert granted == []


# Of read handlers: access to data, and what they read only for features that no template here uses.
_NOT_FOR_DRIFT = {
    "secretsmanager:GetSecretValue", "kms:Decrypt", "s3:GetObject", "s3:GetObjectAcl", "iam:PassRole",
    "billing:GetBillingViewData", "codecommit:GetRepository", "codecommit:GetRepositoryTriggers",
    "vpc-lattice:DescribeServiceNetworkVpcEndpointAssociation",
}  # fmt: skip


@pytest.mark.parametrize("name", available())
def test_the_drift_role_may_read_what_cloudformation_reads_of_each_type(name: str, templates: Templates) -> None:
    delivery = load([name])[name].delivery
    granted = [
        action
        for each in statements(templates, name, delivery.repository, f"{delivery.environment}-drift")
        for action in _actions(each)
    ]
    # The tests' environments host no site on Amplify.
    types = {"AWS::Amplify::App", "AWS::Amplify::Branch"} | {
        resource["Type"]
        for stack, template in templates.items()
        if stack.startswith(f"{name}/")
        for resource in template["Resources"].values()
    }
    needed = {type_: read_permissions(type_) - _NOT_FOR_DRIFT for type_ in types if type_.startswith("AWS::")}
    assert needed["AWS::SQS::Queue"] == {"sqs:GetQueueAttributes", "sqs:ListQueueTags"}
    missing = {
        f"{type_} {action}"
        for type_, actions in needed.items()
        for action in actions
        if not any(fnmatch(action, each) for each in granted)
    }
    assert missing == set()


def read_permissions(type_: str) -> set[str]:
    """Of the type's read handler, by the provider schema that cfn-lint ships; a few types have none."""
    found = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", type_).schema
    return set(found.get("handlers", {}).get("read", {}).get("permissions", ()))


def test_a_pull_request_pushes_and_asks_for_a_preview_and_nothing_else(templates: Templates) -> None:
    environment = load(["dev"])["dev"]
    for service, own in released(environment).items():
        found = statements(templates, "dev", str(own.repository), github_preview_environment(environment, service))
        reads = ("Describe", "List", "Get", "BatchGet", "BatchCheck")
        every = {action for each in found for action in _actions(each)}
        assert {action for action in every if not action.split(":")[1].startswith(reads)} == {
            "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
            "lambda:InvokeFunction",
        }  # fmt: skip
        (invoke,) = [each for each in found if "lambda:InvokeFunction" in _actions(each)]
        control = templates["dev/Delivery"]["Resources"][invoke["Resource"]["Fn::GetAtt"][0]]["Properties"]
        assert control["Handler"] == "infra_runtime.previews.control.handler"
        assert not {"ssm:GetParameter", "logs:GetLogEvents", "secretsmanager:GetSecretValue"} & every
