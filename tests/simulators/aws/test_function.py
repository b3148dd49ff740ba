"""A function's variables are measured as Lambda measures them."""

import json

import pytest

from simulators.aws.resource_type import ResourceRefused
from simulators.aws.types.function import check_variables


@pytest.mark.parametrize(("letters", "fits"), [("a" * 4088, True), ("a" * 4089, False), ('"' * 2045, False)])
def test_more_than_four_kibibytes_are_refused(letters: str, fits: bool) -> None:
    function = {"Environment": {"Variables": {"A": letters}}}
    assert (len(json.dumps({"A": letters}, separators=(",", ":"))) <= 4096) is fits
    if fits:
        check_variables(function)
    else:
        with pytest.raises(ResourceRefused, match="exceeded the 4KB limit"):
            check_variables(function)


def test_a_function_without_variables_is_taken() -> None:
    check_variables({})
