from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions

from infra_constructs.github import GitHubDeployRole, GitHubProps

TemplateOf = Callable[[Callable[[cdk.Stack], object]], assertions.Template]
PROPS = {"repository": "daadaar/infrastructure", "environment": "production"}


def trusts(template: assertions.Template, claims: dict[str, str]) -> bool:
    """A small evaluator of the role's trust policy: StringEquals only, as nothing else may stand there."""
    (role,) = template.find_resources("AWS::IAM::Role").values()
    (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert set(statement["Condition"]) == {"StringEquals"}
    wanted: dict[str, Any] = statement["Condition"]["StringEquals"]
    return all(claims.get(key.rpartition(":")[2]) == value for key, value in wanted.items())


@pytest.fixture
def role(template_of: TemplateOf) -> assertions.Template:
    return template_of(lambda stack: GitHubDeployRole(stack, "Deploy", props=GitHubProps(**PROPS, owns_provider=True)))


def test_trusts_its_repository_in_its_environment(role: assertions.Template) -> None:
    subject = "repo:daadaar/infrastructure:environment:production"
    assert trusts(role, {"aud": "sts.amazonaws.com", "sub": subject})


@pytest.mark.parametrize(
    "subject",
    [
        "repo:daadaar/infrastructure:environment:staging",
        "repo:daadaar/infrastructure:environment:production2",
        "repo:daadaar/infrastructure:ref:refs/heads/main",
        "repo:daadaar/infrastructure:pull_request",
        "repo:daadaar/backend:environment:production",
        "repo:someone/infrastructure:environment:production",
        "repo:daadaar/infrastructure-fork:environment:production",
        "REPO:daadaar/infrastructure:environment:production",
        "",
    ],
)
def test_trusts_no_other_subject(subject: str, role: assertions.Template) -> None:
    assert not trusts(role, {"aud": "sts.amazonaws.com", "sub": subject})


def test_trusts_no_other_audience(role: assertions.Template) -> None:
    assert not trusts(
        role, {"aud": "https://github.com/daadaar", "sub": "repo:daadaar/infrastructure:environment:production"}
    )


def test_lasts_an_hour_and_becomes_only_cdks_roles(role: assertions.Template) -> None:
    role.has_resource_properties("AWS::IAM::Role", {"MaxSessionDuration": 3600})
    (policy,) = role.find_resources("AWS::IAM::Policy").values()
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "sts:AssumeRole"
    assert all(":role/cdk-hnb659fds-" in str(each) and "*" not in str(each) for each in statement["Resource"])


def test_the_provider_is_made_once_for_an_account(template_of: TemplateOf, role: assertions.Template) -> None:
    role.resource_count_is("AWS::IAM::OIDCProvider", 1)
    other = template_of(
        lambda stack: GitHubDeployRole(stack, "Deploy", props=GitHubProps(**PROPS, owns_provider=False))
    )
    other.resource_count_is("AWS::IAM::OIDCProvider", 0)
