"""FIS in memory: what it takes, whom it chooses, and what ends an experiment."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from simulators.aws.fis import Fis, FisError, Region, Undo

ALARM = "arn:aws:cloudwatch:eu-central-1:111122223333:alarm:down"


class Tasks(Region):
    """A service of some tasks, and a zone that can be cut off."""

    def __init__(self, count: int) -> None:
        self.arns = [f"task/{number}" for number in range(count)]
        self.stopped: list[str] = []
        self.is_cut_off = self.is_firing = False

    def find(self, role: str, target: Mapping[str, Any]) -> list[str]:
        return self.arns

    def act(self, role: str, action: str, arns: Sequence[str], parameters: Mapping[str, str]) -> Undo:
        if action == "aws:ecs:stop-task":
            self.stopped += arns
            return lambda: None
        self.is_cut_off = True

        def undo() -> None:
            self.is_cut_off = False

        return undo

    def trusts(self, role: str, experiment: str) -> bool:
        return role == "trusting"

    def firing(self, alarms: Collection[str]) -> bool:
        assert set(alarms) == {ALARM}
        return self.is_firing


def template(**changes: Any) -> dict[str, Any]:
    tasks = {"resourceType": "aws:ecs:task", "selectionMode": "PERCENT(34)", "parameters": {"cluster": "c"}}
    return {
        "description": "",
        "roleArn": "trusting",
        "stopConditions": [{"source": "aws:cloudwatch:alarm", "value": ALARM}],
        "targets": {"tasks": tasks},
        "actions": {"stop": {"actionId": "aws:ecs:stop-task", "targets": {"Tasks": "tasks"}}},
        **changes,
    }


CUT_OFF = template(
    targets={"zone": {"resourceType": "aws:ec2:subnet", "selectionMode": "ALL"}},
    actions={
        "cut": {
            "actionId": "aws:network:disrupt-connectivity",
            "targets": {"Subnets": "zone"},
            "parameters": {"scope": "all", "duration": "PT2M"},
        }
    },
)


def started(fis: Fis, made: Mapping[str, Any]) -> str:
    identity: str = fis.start_experiment(experimentTemplateId=fis.put_template(made))["experiment"]["id"]
    return identity


def ended(fis: Fis, identity: str) -> tuple[str, str]:
    give_up = time.monotonic() + 5
    while "endTime" not in (found := fis.get_experiment(identity=identity)["experiment"]):
        assert time.monotonic() < give_up
        time.sleep(0.01)
    return found["state"]["status"], found["state"]["reason"]


def of(region: Region, minute: float = 0.05) -> Fis:
    return Fis("arn:aws:fis:eu-central-1:111122223333", region, lambda: minute)


@pytest.mark.parametrize(("mode", "count", "chosen"), [
    ("PERCENT(34)", 3, 1), ("PERCENT(34)", 7, 2), ("COUNT(1)", 2, 1), ("ALL", 4, 4), ("COUNT(9)", 2, 2),
])  # fmt: skip
def test_shares_are_rounded_down(mode: str, count: int, chosen: int) -> None:
    region = Tasks(count)
    made = template()
    made["targets"]["tasks"]["selectionMode"] = mode
    fis = of(region)
    assert ended(fis, started(fis, made))[0] == "completed"
    assert len(set(region.stopped)) == chosen


def test_a_third_as_33_percent_selects_none_of_three_tasks() -> None:
    region, made = Tasks(3), template()
    made["targets"]["tasks"]["selectionMode"] = "PERCENT(33)"
    fis = of(region)
    assert ended(fis, started(fis, made)) == ("failed", "Target resolution returned empty set")
    assert region.stopped == []


def test_an_action_with_a_duration_is_undone_at_its_end() -> None:
    region = Tasks(1)
    fis = of(region, minute=0.2)
    identity = started(fis, CUT_OFF)
    time.sleep(0.1)
    assert region.is_cut_off
    assert ended(fis, identity)[0] == "completed"
    assert not region.is_cut_off


def test_an_alarm_stops_it_and_so_does_a_person() -> None:
    for reason in ("stop condition", "user action"):
        region = Tasks(1)
        fis = of(region, minute=60)
        identity = started(fis, CUT_OFF)
        if reason == "user action":
            fis.stop_experiment(identity=identity)
        else:
            region.is_firing = True
        assert ended(fis, identity) == ("stopped", f"Experiment halted by {reason}.")
        assert not region.is_cut_off


def test_a_role_that_does_not_trust_fis_fails_the_experiment() -> None:
    region = Tasks(3)
    fis = of(region)
    assert ended(fis, started(fis, template(roleArn="other")))[0] == "failed"
    assert region.stopped == []


@pytest.mark.parametrize("wrong", [
    {"stopConditions": []},
    {"actions": {"stop": {"actionId": "aws:ecs:stop-tasks", "targets": {"Tasks": "tasks"}}}},
    {"actions": {"stop": {"actionId": "aws:ecs:stop-task", "targets": {"Task": "tasks"}}}},
    {"actions": {"stop": {"actionId": "aws:ecs:stop-task", "targets": {"Tasks": "others"}}}},
    {"actions": {"cut": {"actionId": "aws:network:disrupt-connectivity", "targets": {"Subnets": "tasks"}}}},
    {"targets": {"tasks": {"resourceType": "aws:ecs:task", "selectionMode": "A_THIRD"}}},
    {"targets": {"tasks": {"resourceType": "aws:ecs:task", "selectionMode": "ALL", "parameters": {"zone": "a"}}}},
    {"targets": {"tasks": {"resourceType": "aws:ecs:task", "selectionMode": "ALL", "resourceArns": ["a"],
                           "resourceTags": {"a": "b"}}}},
])  # fmt: skip
def test_a_template_that_fis_would_refuse_is_refused(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(FisError):
        of(Tasks(1)).put_template(template(**wrong))


def test_redis_is_targeted_by_its_tags_only() -> None:
    made = template(
        targets={"redis": {"resourceType": "aws:elasticache:replicationgroup", "selectionMode": "ALL",
                           "resourceArns": ["arn"]}},
        actions={"cut": {"actionId": "aws:elasticache:replicationgroup-interrupt-az-power",
                         "targets": {"ReplicationGroups": "redis"}, "parameters": {"duration": "PT1M"}}},
    )  # fmt: skip
    with pytest.raises(FisError, match="tags"):
        of(Tasks(1)).put_template(made)
