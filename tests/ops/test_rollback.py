"""`infra rollback`: whichever way the control takes, it is named and followed to its end."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from config import load
from ops.console import Console
from ops.errors import OperatorError
from ops.releases import commands
from ops.releases.target import ReleaseTarget
from tests.ops.account import NAME, Account

Step = Callable[[], None]


@dataclass(frozen=True)
class Asked(ReleaseTarget):
    """A target whose release function gives these answers in turn; it has its own tests."""

    answers: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, event: Mapping[str, Any]) -> dict[str, Any]:
        assert event["action"] == "rollback"
        return {"problems": [], **self.answers.pop(0)}


@pytest.fixture
def account() -> Account:
    return Account()


def rolled_back(account: Account, *answers: dict[str, Any], meanwhile: tuple[Step, ...] = ()) -> str:
    """The command's output; at each wait one of the steps happens."""
    out, steps = io.StringIO(), list(meanwhile)
    place = Asked(
        NAME, load([NAME])[NAME], "api", account, sleep=lambda _: steps.pop(0)() if steps else None,
        answers=list(answers),
    )  # fmt: skip
    commands.rollback(place, None, Console(file=out, width=200), accept_schema=False, note=None)
    assert place.answers == []
    return out.getvalue()


def ends(account: Account, identity: str, outcome: str, reason: str | None = None) -> None:
    account.stacks["api"] = "UPDATE_COMPLETE"
    when = datetime.now(UTC).isoformat()
    account.ledger.end("api", identity, outcome=outcome, when=when, reason=reason)  # type: ignore[arg-type]


def stopped(identity: str | None, stage: str | None) -> dict[str, Any]:
    return {"path": "stopped", "stopped": "arn", "id": identity, "stage": stage}


@pytest.mark.parametrize(("stage", "way"), [
    (None, "starts tasks of the version before"),
    *((each, "users never left the old tasks") for each in (
        "RECONCILE_SERVICE", "PRE_SCALE_UP", "SCALE_UP", "POST_SCALE_UP", "TEST_TRAFFIC_SHIFT",
        "POST_TEST_TRAFFIC_SHIFT", "PRE_PRODUCTION_TRAFFIC_SHIFT",
    )),
    *((each, "users go back to the old tasks, which still run") for each in (
        "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME",
    )),
    ("CLEAN_UP", "starts tasks of the version before"),
])  # fmt: skip
def test_at_each_stage_the_way_back_is_named(stage: str | None, way: str, account: Account) -> None:
    release = account.released()
    account.stacks["api"] = "UPDATE_IN_PROGRESS"
    output = rolled_back(
        account, stopped(release.id, stage), meanwhile=(lambda: ends(account, release.id, "failed", "stopped by zara"),)
    )
    assert way in output
    assert f"{release.id} was stopped; api@{'b' * 12} serves" in output
    assert "infra release production --service api --resume" in output


def test_a_migration_that_was_stopped_is_named(account: Account) -> None:
    release = account.released()
    ends(account, release.id, "failed", "stopped by zara")
    answer = stopped(release.id, "PRE_SCALE_UP") | {"migration_stopped": True}
    assert "its migration is stopped" in rolled_back(account, answer)


def test_a_release_that_ended_before_it_could_be_stopped_is_rolled_back_by_a_release(account: Account) -> None:
    release = account.released()
    ends(account, release.id, "succeeded")
    back = account.released(kind="rollback")
    ends(account, back.id, "succeeded")
    answer = {"path": "release", "id": back.id, "back_from": release.id, "back_to": "r0", "template_changed": False}
    output = rolled_back(account, {"path": "wait", "id": release.id}, stopped(release.id, "CLEAN_UP"), answer)
    assert "waits for it" in output
    assert f"Back from {release.id} to r0, by a release" in output
    assert f"{back.id} succeeded" in output


def test_a_rollback_that_is_under_way_already_is_followed(account: Account) -> None:
    back = account.released(kind="rollback")
    account.stacks["api"] = "UPDATE_IN_PROGRESS"
    output = rolled_back(
        account, {"path": "going back", "id": back.id}, meanwhile=(lambda: ends(account, back.id, "succeeded"),)
    )
    assert "it goes back already" in output
    assert f"{back.id} succeeded" in output


def test_a_rollback_that_fails_is_an_error(account: Account) -> None:
    back = account.released(kind="rollback")
    ends(account, back.id, "failed", "exit code 7")
    with pytest.raises(OperatorError, match="exit code 7"):
        rolled_back(account, {"path": "going back", "id": back.id})


def test_after_a_release_that_went_back_by_itself_the_way_further_back_is_named(account: Account) -> None:
    output = rolled_back(account, {"path": "over", "id": "r2", "further": "r0"})
    assert f"r2 has failed and went back by itself; api@{'b' * 12} serves" in output
    assert "infra rollback production r0 --service api" in output


def test_where_nothing_was_before_no_way_further_back_is_named(account: Account) -> None:
    output = rolled_back(account, {"path": "over", "id": "r2", "further": None})
    assert "r2 has failed and went back by itself" in output
    assert "further back" not in output


def test_a_deployment_that_is_no_release_is_stopped_and_nothing_is_followed(account: Account) -> None:
    assert "it was no release" in rolled_back(account, stopped(None, "SCALE_UP"))


def test_waiting_for_a_rollback_times_out(account: Account) -> None:
    with pytest.raises(OperatorError, match="does not come to rest: infra status production --service api"):
        rolled_back(account, *[{"path": "wait", "id": "r1"}] * 300)
