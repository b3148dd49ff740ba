"""What AWS will measure is foretold, also where CloudFormation puts a value together."""

import json
from typing import Any

import pytest

from template_policies.length import length


@pytest.mark.parametrize(
    "value", [{}, [], "", 'a"b', 12, True, {"a": ["b", 1, True], "c": {"d": "ä"}}, [[], {}, ["x"]]], ids=json.dumps
)
def test_a_value_without_functions_is_as_long_as_its_json(value: Any) -> None:
    assert length(value) == len(json.dumps(value, separators=(",", ":")))


def test_of_parts_that_are_joined_only_those_known_to_cloudformation_are_estimated() -> None:
    known = {"Fn::Join": ["-", ["a", "b", "c"]]}
    assert length(known) == len('"a-b-c"')
    arn = "arn:aws:ecs:eu-central-1:111122223333:service/daadaar-production-platform-Cluster-1A2B3C4D/api"
    assert length({"Fn::Join": ["", [{"Ref": "Service"}, "/*"]]}) >= len(json.dumps(f"{arn}/*"))
