"""Every reference, import, dependency and condition has an existing target."""

from collections.abc import Iterator
from typing import Any

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import IN_SUB, list_of
from template_policies.policy import EVERYTHING

PSEUDO = "AWS::"


@policy(
    reason="CloudFormation refuses the template, or the second stack after the first was changed.",
    failure=Failure.REFUSED,
    reads={EVERYTHING: (EVERYTHING,)},
)
def check(graph: Graph) -> Iterator[Violation]:
    for stack, template in graph.templates.items():
        resources, parameters = template["Resources"], template.get("Parameters", {})
        conditions = template.get("Conditions", {})
        known = {*resources, *parameters}
        for logical_id, raw in resources.items():
            for path, name in _named(raw):
                if name.startswith("!"):
                    if name[1:] not in graph.exports:
                        yield Violation(stack, logical_id, path, f"imports {name[1:]}, which no stack exports")
                elif name.startswith("?"):
                    if name[1:] not in conditions:
                        yield Violation(stack, logical_id, path, f"has the condition {name[1:]}, which is not there")
                elif name not in known and not name.startswith(PSEUDO):
                    yield Violation(stack, logical_id, path, f"refers to {name}, which is not there")
        for name, output in template.get("Outputs", {}).items():
            for path, target in _named({"Properties": {name: output.get("Value")}}):
                if not target.startswith(("!", "?", PSEUDO)) and target not in known:
                    yield Violation(stack, "", f"Outputs.{path}", f"refers to {target}, which is not there")


def _named(raw: Any) -> Iterator[tuple[str, str]]:
    """(property, name): !name of an import, ?name of a condition."""
    for key, value in raw.items():
        if key == "DependsOn":
            yield from ((key, each) for each in list_of(value))
        elif key == "Condition" and isinstance(value, str):
            yield key, f"?{value}"
        elif key in ("Properties", "UpdatePolicy", "Metadata"):
            for name, each in (value or {}).items():
                yield from ((name, found) for found in _below(each))


def _below(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "Ref" and isinstance(each, str):
                yield each
            elif key == "Fn::GetAtt":
                yield each.partition(".")[0] if isinstance(each, str) else str(each[0])
            elif key == "Fn::ImportValue" and isinstance(each, str):
                yield f"!{each}"
            elif key == "Fn::If":
                yield f"?{each[0]}"
                yield from _below(each[1:])
            elif key == "Fn::Sub":
                yield from (name.partition(".")[0] for name in IN_SUB.findall(each if isinstance(each, str) else ""))
            else:
                yield from _below(each)
    elif isinstance(value, list):
        for each in value:
            yield from _below(each)
