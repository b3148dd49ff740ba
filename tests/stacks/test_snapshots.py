"""One masked snapshot for each stack and environment in environments/: snapshots show change, they do not judge it.

`make accept` accepts the templates as they are; what changed is then in the diff of the commit.
"""

import re
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from config.previews import slots
from tests import own
from tests.templates import plain

ENVIRONMENTS = own.environments()
# CDK's own: not ours to review, and different with every release of it.
_NOT_OURS = ("CDKMetadata", "CDKMetadataAvailable", "BootstrapVersion", "CheckBootstrapVersion")
_ASSET = re.compile(r"\b[0-9a-f]{64}\b")


def masked(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: masked(value) for key, value in node.items() if key not in _NOT_OURS}
    if isinstance(node, list):
        return [masked(item) for item in node]
    return _ASSET.sub("<asset>", node) if isinstance(node, str) else node


@pytest.mark.parametrize(
    ("name", "stack"), [(name, stack) for name, each in ENVIRONMENTS.items() for stack in own.stacks(each)]
)
def test_template(name: str, stack: str, own_templates: dict[str, Any], snapshot: SnapshotAssertion) -> None:
    assert masked(plain(own_templates[f"{name}/{stack}"])) == snapshot(extension_class=JSONSnapshotExtension)


def test_every_stack_has_a_snapshot(own_templates: dict[str, Any]) -> None:
    slots_of = {f"{name}/Preview{slot}" for name, each in ENVIRONMENTS.items() for slot in slots(each)}
    assert (
        set(own_templates)
        == {f"{name}/{each}" for name in ENVIRONMENTS for each in own.stacks(ENVIRONMENTS[name])} | slots_of
    )
