"""A role trusts one AWS service, or one repository's workflows in one GitHub environment."""

import re
from collections.abc import Iterator

from config.services import (
    github_environment,
    github_preview_environment,
    previewed,
    released,
)
from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import list_of, short
from template_policies.iam import ROLE, Statement, trust_statements

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
SERVICES = {
    "backup.amazonaws.com",
    "chatbot.amazonaws.com",
    "ec2.amazonaws.com",
    "ecs-tasks.amazonaws.com",
    "ecs.amazonaws.com",
    "lambda.amazonaws.com",
    "monitoring.rds.amazonaws.com",
    "vpc-flow-logs.amazonaws.com",
    "scheduler.amazonaws.com",
    "amplify.amazonaws.com",
    "malware-protection-plan.guardduty.amazonaws.com",
    "events.amazonaws.com",
    "fis.amazonaws.com",
}


@policy(
    reason="A wildcard in a subject lets every branch, or every repository with the same prefix, deploy production.",
    failure=Failure.ROLE_TAKEN_OVER,
    reads={ROLE: ("AssumeRolePolicyDocument",), "AWS::IAM::OIDCProvider": ("Url", "ClientIdList")},
)
def check(graph: Graph) -> Iterator[Violation]:
    for provider in graph.of("AWS::IAM::OIDCProvider"):
        yield from provider.expect("Url", f"https://{ISSUER}")
        yield from provider.expect("ClientIdList", [AUDIENCE])
    wanted, found = subjects(graph), []
    statements = list(trust_statements(graph))
    for role in graph.of(ROLE):
        if len([each for each in statements if each.resource is role]) != 1:
            yield role.violation("AssumeRolePolicyDocument", "must have one statement")
    for each in statements:
        if not each.allows:
            yield each.violation("must be Allow: our trust policies have no other statements")
        match each.principals:
            case [("Service", service)]:
                if service not in SERVICES:
                    yield each.violation(f"trusts {service}, which we do not use")
                if each.actions != ["sts:AssumeRole"]:
                    yield each.violation(f"allows {short(each.actions)}, must be sts:AssumeRole")
            case [("Federated", provider_)]:
                yield from _github(each, provider_, graph)
                found += each.conditions.get(("StringEquals", f"{ISSUER}:sub"), [])
            case other:
                yield each.violation(f"trusts {short(other)}, must trust one service or GitHub's provider")
    for subject in sorted({*found, *wanted}):
        if found.count(subject) != 1 or subject not in wanted:
            text = f"{found.count(subject)} roles trust {subject}, must be {1 if subject in wanted else 0}"
            yield graph.missing(ROLE, text, stack="Delivery")


def subjects(graph: Graph) -> set[str]:
    """`sub` of each token that may assume a role of this environment."""
    environment = graph.environment
    delivery = environment.delivery
    pairs = [(delivery.repository, delivery.environment), (delivery.repository, f"{delivery.environment}-drift")]
    for name, own in released(environment).items():
        pairs.append((str(own.repository), github_environment(environment, name)))
    for name, own in previewed(environment).items() if environment.previews is not None else ():
        pairs.append((str(own.repository), github_preview_environment(environment, name)))
    return {f"repo:{repository}:environment:{where}" for repository, where in pairs}


def _github(each: Statement, provider: str, graph: Graph) -> Iterator[Violation]:
    own = graph.target(each.resource.stack, list_of(each.document["Principal"]["Federated"])[0])
    shared = f"arn:aws:iam::{graph.environment.aws.account}:oidc-provider/{ISSUER}"
    if provider != shared and (own is None or own.type != "AWS::IAM::OIDCProvider"):
        yield each.violation(f"trusts {provider}, must be GitHub's provider of this account")
    if each.actions != ["sts:AssumeRoleWithWebIdentity"]:
        yield each.violation(f"allows {short(each.actions)}, must be sts:AssumeRoleWithWebIdentity")
    conditions = each.conditions
    if set(conditions) != {("StringEquals", f"{ISSUER}:aud"), ("StringEquals", f"{ISSUER}:sub")}:
        yield each.violation(f"has conditions {short(sorted(conditions))}, must be StringEquals on aud and sub")
        return
    if conditions["StringEquals", f"{ISSUER}:aud"] != [AUDIENCE]:
        yield each.violation(
            f"takes tokens for {short(conditions['StringEquals', f'{ISSUER}:aud'])}, must be {AUDIENCE}"
        )
    values = conditions["StringEquals", f"{ISSUER}:sub"]
    if len(values) != 1 or not re.fullmatch(r"repo:[^:*?]+:environment:[^:*?]+", values[0]):
        yield each.violation(f"trusts {short(values)}, must be one repository in one environment")
