"""Rules of security groups, those in the group and those beside it."""

from collections.abc import Iterator, Mapping
from typing import Any

from template_policies.graph import Graph, Resource

GROUP = "AWS::EC2::SecurityGroup"
INGRESS = {GROUP: ("SecurityGroupIngress",), "AWS::EC2::SecurityGroupIngress": ("*",)}
EGRESS = {GROUP: ("SecurityGroupEgress",), "AWS::EC2::SecurityGroupEgress": ("*",)}
Rule = tuple[Resource, str, Mapping[str, Any]]


def ingress(graph: Graph) -> Iterator[Rule]:
    """(resource, property, rule) of each security group rule."""
    yield from _rules(graph, "SecurityGroupIngress")


def egress(graph: Graph) -> Iterator[Rule]:
    yield from _rules(graph, "SecurityGroupEgress")


def _rules(graph: Graph, name: str) -> Iterator[Rule]:
    for group in graph.of(GROUP):
        for rule in group.items(name):
            yield group, name, rule
    for beside in graph.of(f"AWS::EC2::{name}"):
        yield beside, name, beside.properties


def group_of(rule: Rule) -> Resource | None:
    """The security group that a rule belongs to."""
    resource = rule[0]
    return resource if resource.type == GROUP else resource.target("GroupId")


def ports(rule: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return rule.get("IpProtocol"), rule.get("FromPort"), rule.get("ToPort")
