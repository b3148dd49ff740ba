"""One masked snapshot for each stack and environment: snapshots show change, they do not judge it.

`make snapshots` accepts the templates as they are; what changed is then in the diff of the commit.
"""

import re
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from config import available, load
from config.previews import slots

STACKS = ("Network", "Data", "Registry", "Platform", "Redis", "Api", "Frontend", "Edge", "Observability", "Delivery")
# One of them: they differ in their number.
SLOT = "dev/Preview1"
# CDK's own: not ours to review, and different with every release of it.
_NOT_OURS = ("CDKMetadata", "CDKMetadataAvailable", "BootstrapVersion", "CheckBootstrapVersion")
_ASSET = re.compile(r"\b[0-9a-f]{64}\b")


def masked(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: masked(value) for key, value in node.items() if key not in _NOT_OURS}
    if isinstance(node, list):
        return [masked(item) for item in node]
    return _ASSET.sub("<asset>", node) if isinstance(node, str) else node


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", available())
def test_template(name: str, stack: str, templates: dict[str, Any], snapshot: SnapshotAssertion) -> None:
    assert masked(templates[f"{name}/{stack}"]) == snapshot(extension_class=JSONSnapshotExtension)


def test_template_of_a_slot(templates: dict[str, Any], snapshot: SnapshotAssertion) -> None:
    assert masked(templates[SLOT]) == snapshot(extension_class=JSONSnapshotExtension)


def test_every_stack_has_a_snapshot(templates: dict[str, Any]) -> None:
    slots_of = {f"{name}/Preview{slot}" for name, each in load().items() for slot in slots(each)}
    assert SLOT in slots_of
    assert set(templates) == {f"{name}/{stack}" for name in available() for stack in STACKS} | slots_of
