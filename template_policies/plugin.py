"""The policies as a CDK validation plugin, which runs at the end of every `cdk synth` and deployment."""

import json
from collections.abc import Mapping
from pathlib import Path

import aws_cdk as cdk
import jsii

from config import Environment
from template_policies.graph import Graph, Violation
from template_policies.policy import policies, violations

NAME = "Policies"


@jsii.implements(cdk.IPolicyValidationPlugin)
class Policies:
    """`environments` by the name of their stages. Stages that are not among them are left alone."""

    def __init__(self, environments: Mapping[str, Environment]) -> None:
        self._environments = environments

    @property
    def name(self) -> str:
        return NAME

    @property
    def version(self) -> str | None:
        return None

    @property
    def rule_ids(self) -> list[str]:
        return [each.name for each in policies()]

    def validate(self, context: cdk.IPolicyValidationContext) -> cdk.PolicyValidationPluginReport:
        paths: dict[str, dict[str, str]] = {}
        for each in context.stack_templates:
            stage, _, stack = each.stack_construct_path.partition("/")
            paths.setdefault(stage, {})[stack] = each.template_path
        found = []
        for stage, environment in self._environments.items():
            own = paths.get(stage, {})
            templates = {stack: json.loads(Path(path).read_text()) for stack, path in own.items()}
            graph = Graph(stage, environment, templates)
            found += [_reported(each, own) for each in violations(graph)]
        return cdk.PolicyValidationPluginReport(success=not found, violations=found)


def _reported(violation: Violation, paths: Mapping[str, str]) -> cdk.PolicyViolation:
    sentences = {each.name: each.sentence for each in policies()}
    # A missing resource is reported on an existing template.
    path = paths.get(violation.stack) or next(iter(paths.values()))
    return cdk.PolicyViolation(
        rule_name=violation.policy,
        description=f"{violation.property} {violation.message}. {sentences[violation.policy]}",
        violating_resources=[
            cdk.PolicyViolatingResource(
                resource_logical_id=violation.logical_id,
                template_path=path,
                locations=[f"Properties/{violation.property.replace('.', '/')}"],
            )
        ],
    )
