"""Secrets within declarations."""

import pytest

from infra_runtime.contract.secret_values import Secrets, redact
from tests.runtime.conftest import FakeSecretsManager

SECRET = "s3cret-of-the-tests-of-secrets"


@pytest.fixture
def secrets() -> Secrets:
    return Secrets(FakeSecretsManager({"a": SECRET}))


def test_a_reference_is_replaced_wherever_it_stands(secrets: Secrets) -> None:
    node = {"list": [{"$secret": "a"}, 1], "deep": {"deeper": {"$secret": "a"}}}
    assert secrets.resolve(node) == {"list": [SECRET, 1], "deep": {"deeper": SECRET}}


def test_a_reference_within_a_text_is_part_of_it(secrets: Secrets) -> None:
    assert secrets.resolve({"expression": {"$text": ['x eq "', {"$secret": "a"}, '"']}}) == {
        "expression": f'x eq "{SECRET}"'
    }


def test_a_text_whose_secret_is_missing_is_none(secrets: Secrets) -> None:
    node = {"$text": ["x", {"$secret": "gone"}]}
    assert secrets.resolve(node, missing_is_fine=True) is None
    with pytest.raises(FakeSecretsManager.exceptions.ResourceNotFoundException):
        secrets.resolve(node)


def test_a_secret_that_was_read_is_redacted_everywhere(secrets: Secrets) -> None:
    secrets.read("a")
    assert redact(f"a {SECRET} b") == secrets.redact(f"a {SECRET} b") == "a ******** b"
