"""Those tests of templates that hold whatever a file says, with the fixtures of this folder."""

from typing import Any

from tests.permissions import faults
from tests.stacks.test_pinned import test_kept_stacks_are_protected  # noqa: F401
from tests.template_policies.test_policies import test_every_template_keeps_every_policy  # noqa: F401


def test_every_statement_can_be_allowed(templates: dict[str, dict[str, Any]]) -> None:
    assert faults(templates) == []
