"""`infra gameday`, in memory; and an experiment in the account of the other tests: FIS, processes and runbook."""

import io
import json
import os
from typing import Any

import pytest
from typer.testing import CliRunner

from config import game_days, load
from ops import __main__ as infra
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.game_days import GameDayPlace, run
from rehearsal.account import Account
from rehearsal.checks.game_days import Stage, carry_out_experiment, hold
from rehearsal.checks.releases import first_release
from rehearsal.traffic import traffic
from simulators.aws.fis import MINUTE_SECONDS
from tests.ops import account as in_memory
from tests.ops.account import NAME


class Watched(in_memory.Account):
    """An account with the template of one experiment, which goes through these states."""

    def __init__(self, *states: str) -> None:
        super().__init__()
        self.states = list(states)
        self.started: list[str] = []
        self.resources["observability"] = [
            ("AWS::FIS::ExperimentTemplate", "GameDaysTasksStopped0A1B2C3D", "EXT1"),
            ("AWS::FIS::ExperimentTemplate", "GameDaysDatabaseFailover0A1B2C3E", "EXT2"),
        ]

    def start_experiment(self, *, experimentTemplateId: str) -> dict[str, Any]:  # noqa: N803
        self.started.append(experimentTemplateId)
        return {"experiment": {"id": "EXP1"}}

    def get_experiment(self, *, id: str) -> dict[str, Any]:  # noqa: A002
        assert id == "EXP1"
        return {"experiment": {"state": {"status": self.states.pop(0), "reason": "because"}}}


def output_of(account: Watched, experiment: str = "tasks-stopped") -> str:
    out = io.StringIO()
    place = GameDayPlace(NAME, load([NAME])[NAME], account, sleep=lambda _: None, sandbox=lambda: None)
    run(place, experiment, Console(file=out, width=200))
    return out.getvalue()


def test_an_experiment_is_followed_to_its_end_and_says_what_to_do_then() -> None:
    account = Watched("initiating", "running", "running", "completed")
    said = output_of(account)
    assert account.started == ["EXT1"]
    assert said.count("running: because") == 1
    assert "aws fis stop-experiment --id EXP1" in said
    assert "at most 1 % of requests lost; alarms: none" in said
    assert "docs/runbooks/service-tasks-missing.md" in said


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_one_that_ends_before_its_time_is_an_error(state: str) -> None:
    with pytest.raises(OperatorError, match=f"the experiment EXP1 {state}: because"):
        output_of(Watched("running", state))


def test_none_begins_while_an_alarm_fires() -> None:
    account = Watched()
    account.rings("daadaar-production-api-down", "CRITICAL: No healthy task. Runbook: docs/runbooks/service-down.md")
    with pytest.raises(OperatorError, match=r"fires already: .*service-down"):
        output_of(account)
    assert account.started == []


def test_a_missing_deployment_is_reported() -> None:
    account = Watched()
    account.resources["observability"] = []
    with pytest.raises(OperatorError, match="there is no template of tasks-stopped; deploy it first"):
        output_of(account)


def test_an_experiment_that_would_only_be_an_outage_is_refused() -> None:
    place = GameDayPlace("dev", load(["dev"])["dev"], Watched())
    with pytest.raises(InputError, match=r"'tasks-stopped': expected one of .*dev has no redundancy"):
        run(place, "tasks-stopped", Console(file=io.StringIO()))


def test_experiments_that_fis_cannot_run_need_a_sandbox() -> None:
    wanted = r"only in a sandbox .*make sandbox ENV=production.*no API that makes Cloudflare fail"
    with pytest.raises(InputError, match=wanted):
        output_of(Watched(), "cloudflare-errors")


def test_the_list_says_what_each_costs_users() -> None:
    done = CliRunner().invoke(infra.app, ["gameday", "list", NAME, "--json"])
    found = {each["name"]: each for each in json.loads(done.output)}
    assert found.keys() == {each.name for each in game_days.EXPERIMENTS}
    assert found["database-failover"]["lost_percent"] > found["tasks-stopped"]["lost_percent"] > 0
    assert CliRunner().invoke(infra.app, ["gameday", "list", "dev"]).exit_code == 0


def test_redis_has_the_tags_by_which_fis_finds_it(production: Account) -> None:
    """CloudFormation may pass none of the stack's on to it, so the template sets them."""
    elasticache = production.client("elasticache")
    (group,) = elasticache.describe_replication_groups()["ReplicationGroups"]
    tags = elasticache.list_tags_for_resource(ResourceName=group["ARN"])["TagList"]
    known = {each["Key"]: each["Value"] for each in tags}
    assert {"product": "daadaar", "environment": "production"}.items() <= known.items()


def test_the_database_has_a_backup_from_its_beginning(production: Account) -> None:
    """RDS takes one at creation; without it, the alarm on daily backups would fire during every experiment."""
    identity = production.resource("Data", "AWS::RDS::DBInstance")
    rds = production.client("rds")
    assert rds.describe_db_snapshots(DBInstanceIdentifier=identity, SnapshotType="automated")["DBSnapshots"]


@pytest.mark.parametrize("name", os.environ.get("GAME_DAYS", "tasks-stopped").split())
def test_users_lose_no_more_than_stated_and_the_runbook_names_the_cause(name: str, production: Account) -> None:
    """One of the experiments, or those that `GAME_DAYS` names; `make soak` carries out all, with alarms."""
    first_release(production)
    variables = {
        **production.cdk.credentials,
        "AWS_ENDPOINT_URL": production.emulator.url,
        "CLOUDFLARE_BASE_URL": production.cloudflare_url,
    }
    place = GameDayPlace(production.name, production.environment, production)
    stage = Stage(place, production.main, traffic(production), variables, MINUTE_SECONDS)
    found = carry_out_experiment(stage, place.experiment(name))
    assert "requests lost" in hold(place.experiment(name), found, with_alarms=False)
    assert len(found.commands) > 1
