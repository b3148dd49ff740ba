"""`infra doctor` and a service that is at something else: a deployment would cut into it."""

import pytest

from config import load
from infra_runtime.release.preflight import UNDER_WAY
from ops.doctor.deployed import of_service
from ops.releases.target import ReleaseTarget
from tests.ops.account import NAME, Account


def findings(account: Account) -> list[str]:
    return [each.what for each in of_service(ReleaseTarget(NAME, load([NAME])[NAME], "api", account)) if each.stops]


@pytest.mark.parametrize("status", UNDER_WAY)
def test_a_deployment_that_no_release_began_is_waited_for(status: str) -> None:
    """A restart or a person in ECS's console began it."""
    account = Account()
    account.deploys(status=status)
    assert findings(account) == [f"ECS deploys api ({status})"]


@pytest.mark.parametrize("status", ["SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"])
def test_a_deployment_that_has_ended_stops_nothing(status: str) -> None:
    account = Account()
    account.deploys(status=status)
    assert findings(account) == []


def test_a_release_is_named_instead_of_its_deployment() -> None:
    account = Account()
    running = account.released()
    account.deploys()
    assert findings(account) == [f"release {running.id} by {running.who} is running"]
