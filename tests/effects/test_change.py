"""`infra change`: every step of a change, and what is left of them as they are done."""

import pytest

from ops.change import steps
from ops.errors import OperatorError
from tests.effects.test_order import stack

BEFORE = {
    "shop-dev-network": stack(gives={"zone": "c", "access": "a"}),
    "shop-dev-old-site": stack(takes=("access",)),
    "shop-dev-observability": stack(takes=("zone",)),
}
AFTER = {"shop-dev-network": stack(), "shop-dev-observability": stack()}


def commands(before: object) -> list[str]:
    return [each.command for each in steps("dev", "shop", before, AFTER)]  # type: ignore[arg-type]


def test_steps_are_told_from_what_is_deployed() -> None:
    delete = "aws cloudformation delete-stack --stack-name shop-dev-old-site && "
    delete += "aws cloudformation wait stack-delete-complete --stack-name shop-dev-old-site"
    alone = "npx cdk deploy -c env=dev --exclusively dev/Observability"
    assert commands(BEFORE) == [alone, delete, "make deploy ENV=dev"]
    first_done = {**BEFORE, "shop-dev-observability": AFTER["shop-dev-observability"]}
    assert commands(first_done) == [delete, "make deploy ENV=dev"]
    second_done = {name: each for name, each in first_done.items() if name != "shop-dev-old-site"}
    assert commands(second_done) == ["make deploy ENV=dev"]
    assert commands(AFTER) == []


def test_what_nobody_waits_for_is_deleted_after_the_deployment() -> None:
    before = {**AFTER, "shop-dev-old-site": stack()}
    assert [each.step for each in steps("dev", "shop", before, AFTER)] == ["delete shop-dev-old-site"]


def test_what_no_order_makes_possible_is_refused() -> None:
    keeps = {**AFTER, "shop-dev-observability": stack(takes=("zone",))}
    with pytest.raises(OperatorError, match="no order of steps"):
        steps("dev", "shop", BEFORE, keeps)
