"""Statements of all policies: of roles, of resources, and of who may become a role."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from template_policies.graph import Graph, Resource, Violation, list_of

ROLE = "AWS::IAM::Role"
IDENTITY = {
    "AWS::IAM::Policy": ("PolicyDocument", "Roles", "Users"),
    "AWS::IAM::ManagedPolicy": ("PolicyDocument", "Roles", "Users"),
    ROLE: ("Policies", "ManagedPolicyArns"),
}
# Property with the resource policy, by type.
_DOCUMENTS = {
    "AWS::KMS::Key": "KeyPolicy",
    "AWS::Logs::ResourcePolicy": "PolicyDocument",
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
    "AWS::SecretsManager::ResourcePolicy": "ResourcePolicy",
    "AWS::ECR::Repository": "RepositoryPolicyText",
}
RESOURCES = {kind: (path,) for kind, path in _DOCUMENTS.items()}


@dataclass(frozen=True, eq=False)
class Statement:
    resource: Resource
    path: str
    document: Mapping[str, Any]
    holders: tuple[str, ...] = ()
    """The roles that have the statement; empty for a resource policy."""

    @property
    def allows(self) -> bool:
        return self.document.get("Effect") == "Allow"

    @property
    def actions(self) -> list[str]:
        return [each for each in list_of(self.document.get("Action")) if isinstance(each, str)]

    @property
    def resources(self) -> list[str]:
        return [self.resource.text(each) for each in list_of(self.document.get("Resource"))]

    @property
    def conditions(self) -> dict[tuple[str, str], list[str]]:
        """Values by operator and key."""
        return {
            (operator, key): [self.resource.text(each) for each in list_of(values)]
            for operator, keys in (self.document.get("Condition") or {}).items()
            for key, values in keys.items()
        }

    @property
    def principals(self) -> list[tuple[str, str]]:
        """(kind, who): ("Service", "lambda.amazonaws.com"); ("*", "*") for everybody."""
        found = self.document.get("Principal")
        if not isinstance(found, Mapping):
            return [(str(found), str(found))] if found is not None else []
        return [(kind, self.resource.text(each)) for kind, values in found.items() for each in list_of(values)]

    def violation(self, message: str) -> Violation:
        return self.resource.violation(self.path, message)


def _of(document: Any) -> list[Mapping[str, Any]]:
    return [each for each in list_of((document or {}).get("Statement")) if isinstance(each, Mapping)]


def statements(graph: Graph) -> list[Statement]:
    """Statements of roles and users."""
    found: list[Statement] | None = graph.memo.get("statements")
    if found is None:
        found = list(_statements(graph))
        graph.memo["statements"] = found
    graph.reads.update((kind, each) for kind, paths in IDENTITY.items() for each in (*paths, "Type"))
    return found


def _statements(graph: Graph) -> Iterator[Statement]:
    attached: dict[str, list[str]] = {}
    for role in graph.of(ROLE):
        for each in role.targets("ManagedPolicyArns"):
            attached.setdefault(each.where, []).append(role.where)
        for inline in role.items("Policies"):
            for document in _of(inline.get("PolicyDocument")):
                yield Statement(role, "Policies", document, (role.where,))
    for each in graph.of("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        holders = [one.where for one in (*each.targets("Roles"), *each.targets("Users"))]
        for document in _of(each.get("PolicyDocument")):
            yield Statement(each, "PolicyDocument", document, (*holders, *attached.get(each.where, ())))


def policies_of(graph: Graph, role: Resource) -> list[Resource]:
    """AWS::IAM::Policy resources that name the role."""
    return [each for each in graph.of("AWS::IAM::Policy") if role in each.targets("Roles")]


def statements_of(graph: Graph, role: Resource) -> list[Statement]:
    return [each for each in statements(graph) if role.where in each.holders]


def resource_statements(graph: Graph, *kinds: str) -> Iterator[Statement]:
    """Statements of resource policies, of all types or of the given ones."""
    for kind in kinds or _DOCUMENTS:
        for each in graph.of(kind):
            document = each.get(path := _DOCUMENTS[kind])
            for one in _of(document if isinstance(document, Mapping) else None):
                yield Statement(each, path, one)


def trust_statements(graph: Graph) -> Iterator[Statement]:
    for role in graph.of(ROLE):
        for each in _of(role.get("AssumeRolePolicyDocument")):
            yield Statement(role, "AssumeRolePolicyDocument", each)
