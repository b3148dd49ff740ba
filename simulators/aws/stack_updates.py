"""Updates that CloudFormation refuses and MiniStack accepts, or that replace where MiniStack changes in place.

Which properties replace is in AWS's provider schemas, as cfn-lint ships them.
"""

import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from ministack.services import alb, ec2
from ministack.services.cloudformation import _exports, _stacks, changesets, handlers, provisioners, stacks

from simulators.aws.resource_type import ResourceRefused, extend


def install() -> None:
    """Installs the refusals. Call it after the types."""
    _refuse_exports_in_use()
    _replace()
    _refuse_conflicting_subnets()
    _refuse_taken_priorities()
    _take_outputs_alone()


def _refuse_exports_in_use() -> None:
    """When all else of the update is done, and so with a rollback (linz/geostore #630, rlister/stax #40)."""
    own = stacks._resolve_stack_outputs

    def resolve(*arguments: Any) -> Any:
        outputs, exports = own(*arguments)
        stack = arguments[-2]
        before = {each["ExportName"]: each for each in _stacks[stack].get("Outputs", []) if each.get("ExportName")}
        for name, each in before.items():
            if name in exports and exports[name]["Value"] == each["OutputValue"]:
                continue
            if importer := next(_importers(name, stack), None):
                what = "updated" if name in exports else "deleted"
                raise ResourceRefused(f"Export {name} cannot be {what} as it is in use by {importer}")
        for name in before.keys() - exports.keys():
            _exports.pop(name, None)
        return outputs, exports

    stacks._resolve_stack_outputs = resolve


def _importers(export: str, exporter: str) -> Iterator[str]:
    for name, stack in _stacks.items():
        is_there = name != exporter and stack["StackStatus"] != "DELETE_COMPLETE"
        if is_there and export in handlers._imported_export_names(stack, name):
            yield name


def _replace() -> None:
    """Create-only properties, for the types of which MiniStack does not know them."""
    for name in provisioners._RESOURCE_HANDLERS:
        if name in provisioners._REPLACING_PROPERTIES or (schema := _schema(name)) is None:
            continue
        create_only = [each.split("/")[2] for each in schema.get("createOnlyProperties", ()) if each.count("/") == 2]
        provisioners._REPLACING_PROPERTIES[name] = tuple(create_only)


@cache
def _schemas() -> Path:
    spec = find_spec("cfnlint")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data" / "schemas"


def _schema(name: str) -> Any:
    digest = _index().get(name)
    return json.loads((_schemas() / "resources" / f"{digest}.json").read_text()) if digest else None


@cache
def _index() -> dict[str, str]:
    found: dict[str, str] = json.loads((_schemas() / "providers" / "us-east-1.json").read_text())
    return found


def _refuse_conflicting_subnets() -> None:
    """Refuses them in EC2's words, as CloudFormation reports them (aws-samples/aws-genai-llm-chatbot #153)."""

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        wanted = ip_network(properties["CidrBlock"])
        for each in ec2._subnets.values():
            if each["VpcId"] == properties["VpcId"] and wanted.overlaps(ip_network(each["CidrBlock"])):
                text = f"The CIDR '{wanted}' conflicts with another subnet (Service: Ec2, Status Code: 400)"
                raise ResourceRefused(f'Resource handler returned message: "{text}" (HandlerErrorCode: AlreadyExists)')
        return own["create"](logical_id, properties, stack_name)

    own = extend("AWS::EC2::Subnet", create=create)


def _refuse_taken_priorities() -> None:
    """Refuses them in the words of Elastic Load Balancing (pulumi-aws #175, convox/rack #2476)."""

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        for each in alb._rules.values():
            is_same = each["ListenerArn"] == properties["ListenerArn"]
            if is_same and str(each["Priority"]) == str(properties["Priority"]):
                raise ResourceRefused(f"Priority '{properties['Priority']}' is currently in use")
        return own["create"](logical_id, properties, stack_name)

    own = extend("AWS::ElasticLoadBalancingV2::ListenerRule", create=create)


class _OutputsAlone(list[Any]):
    """Changes of a change set that changes no resource and can be executed: MiniStack takes an empty list for none."""

    def __bool__(self) -> bool:
        return True


def _take_outputs_alone() -> None:
    """Executes a change set in which only Outputs differ (aws-cdk #2029)."""
    resolved, compared = changesets._resolve_props_for_diff, changesets._diff_resources

    def resolve(template: dict[str, Any], *arguments: Any) -> dict[str, Any]:
        return {**resolved(template, *arguments), "Outputs": template.get("Outputs", {})}

    def compare(old: dict[str, Any], new: dict[str, Any], *arguments: Any) -> list[Any]:
        found: list[Any] = compared(old, new, *arguments)
        return found if found or old["Outputs"] == new["Outputs"] else _OutputsAlone()

    changesets._resolve_props_for_diff, changesets._diff_resources = resolve, compare
