"""`infra review` describes a change to its reviewer, the worst effects first."""

import copy
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.effects import effects
from ops.review import acknowledgements, billed, compared, markdown, of_both, open_among
from ops.templates import Synthesized

ROOT = Path(__file__).resolve().parents[2]
Templates = dict[str, dict[str, Any]]


@pytest.fixture
def before(templates: Templates) -> Templates:
    return {name.partition("/")[2]: each for name, each in templates.items() if name.startswith("production/")}


def of_type(templates: Templates, stack: str, kind: str) -> tuple[str, dict[str, Any]]:
    return next((name, each) for name, each in templates[stack]["Resources"].items() if each["Type"] == kind)


def _rename_the_database(after: Templates) -> None:
    name, _ = of_type(after, "Data", "AWS::RDS::DBInstance")
    after["Data"]["Resources"]["Other"] = after["Data"]["Resources"].pop(name)


def _encrypt_otherwise(after: Templates) -> None:
    of_type(after, "Data", "AWS::RDS::DBInstance")[1]["Properties"]["KmsKeyId"] = "another"


def _let_the_data_go(after: Templates) -> None:
    of_type(after, "Data", "AWS::RDS::DBInstance")[1]["DeletionPolicy"] = "Delete"


def _move_users(after: Templates) -> None:
    of_type(after, "Api", "AWS::ElasticLoadBalancingV2::ListenerRule")[1]["Properties"]["Priority"] = 11


def _drop_an_alarm(after: Templates) -> None:
    name, _ = of_type(after, "Observability", "AWS::CloudWatch::Alarm")
    del after["Observability"]["Resources"][name]


def _open_a_port(after: Templates) -> None:
    group = of_type(after, "Network", "AWS::EC2::SecurityGroup")[1]["Properties"]
    group["SecurityGroupIngress"] = [{"CidrIp": "0.0.0.0/0", "FromPort": 1, "ToPort": 1, "IpProtocol": "tcp"}]


def _allow_everything(after: Templates) -> None:
    policy = of_type(after, "Api", "AWS::IAM::Policy")[1]["Properties"]["PolicyDocument"]
    policy["Statement"].append({"Effect": "Allow", "Action": "iam:*", "Resource": "*"})


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_rename_the_database, "and Other is a new one"),
        (_encrypt_otherwise, "is replaced (KmsKeyId)"),
        (_let_the_data_go, "loses its DeletionPolicy Snapshot"),
        (_move_users, "users reach the empty group"),
        (_drop_an_alarm, "No one is notified any more"),
        (_open_a_port, "opens port 1 to every address"),
        (_allow_everything, "`iam:*`"),
    ],
)
def test_harmful_effects_are_reported_first(
    spoil: Callable[[Templates], None], expected: str, before: Templates
) -> None:
    after = copy.deepcopy(before)
    spoil(after)
    assert expected in reviewed(before, after).partition("<details>")[0]


def reviewed(before: Templates, after: Templates, *acknowledged: str) -> str:
    return markdown("production", before, after, effects(before, after), acknowledged)


def test_another_asset_is_no_change(before: Templates) -> None:
    after = json.loads(json.dumps(before).replace("nothing", "nothing"))
    function = of_type(after, "Api", "AWS::Lambda::Function")[1]["Properties"]
    function["Code"]["S3Key"] = f"{'0' * 64}.zip"
    assert "Nothing changes." in reviewed(before, after)


def test_a_harmless_change_is_reported_as_such(before: Templates) -> None:
    after = copy.deepcopy(before)
    of_type(after, "Api", "AWS::Lambda::Function")[1]["Properties"]["Timeout"] = 61
    assert [(each.kind, each.properties) for each in effects(before, after)] == [("changed", ("Timeout",))]
    assert "No known risk." in reviewed(before, after)


def test_dangerous_effects_can_be_acknowledged_by_name_and_impossible_ones_cannot(before: Templates) -> None:
    after = copy.deepcopy(before)
    database = of_type(after, "Data", "AWS::RDS::DBInstance")[1]["Properties"]
    database |= {"DBInstanceClass": "db.r8g.xlarge", "AllocatedStorage": "50"}
    larger, smaller = sorted((each for each in effects(before, after)), key=lambda each: each.severity)
    assert open_among([larger, smaller], []) == [larger, smaller]
    assert open_among([larger, smaller], [larger.name, smaller.name]) == [smaller]
    assert f"`Acknowledge: {larger.name}`" in reviewed(before, after)
    assert f"`Acknowledge: {smaller.name}`" not in reviewed(before, after)
    assert "  - acknowledged" in reviewed(before, after, larger.name)
    database["DBInstanceClass"] = "db.r8g.2xlarge"
    assert open_among(effects(before, after), [larger.name, smaller.name]) != [smaller], "another value, another name"


def test_resources_billed_by_the_hour_are_counted(before: Templates) -> None:
    assert billed(before) == {
        "NAT gateway": 3, "interface endpoint in a zone": 12, "db.r8g.large": 2, "GiB of database storage": 100,
        "cache.m7g.large": 3, "load balancer": 1, "vCPU of Fargate at least (quarters)": 24,
        "MiB of Fargate at least": 12288,
    }  # fmt: skip
    after = copy.deepcopy(before)
    name, _ = of_type(after, "Network", "AWS::EC2::NatGateway")
    del after["Network"]["Resources"][name]
    assert "| NAT gateway | 3 | 2 | -38 |" in reviewed(before, after)


def worktrees() -> list[str]:
    """Paths of this repository's working trees, which its owner may have several of."""
    command = ["git", "-C", str(ROOT), "worktree", "list", "--porcelain"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.startswith("worktree ")]


def infra_review(base: str, environments: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / "infra", "review", base],
        env={**os.environ, "INFRA_ENVIRONMENTS": str(environments)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_this_very_tree_against_its_last_commit() -> None:
    """Reviews the smallest environment, as both trees are synthesized."""
    before = worktrees()
    done = infra_review("HEAD", ROOT / "docs" / "one-repository")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# Effects of a deployment")
    assert "## dev" in done.stdout
    unknown = infra_review("nonsense", ROOT / "docs" / "one-repository")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "expected a commit of this repository" in unknown.stderr
    assert worktrees() == before, "one was left behind"


def test_each_environment_has_a_part_of_its_own(before: Templates) -> None:
    after = copy.deepcopy(before)
    _let_the_data_go(after)
    found = compared("title", {"dev": (before, before), "staging": (before, after), "production": ({}, before)}, [])
    parts = found.markdown.split("\n## ")[1:]
    assert [part.partition("\n")[0] for part in parts] == ["dev", "staging", "production"]
    assert "Nothing changes." in parts[0]
    assert "loses its DeletionPolicy Snapshot" in parts[1]


def test_another_account_or_region_is_a_second_environment(before: Templates) -> None:
    was = {"production": Synthesized("aws://111122223333/eu-central-1", before)}
    assert of_both("title", was, was, []).open == ()
    for place in ("aws://555566667777/eu-central-1", "aws://111122223333/eu-west-1"):
        moved = of_both("title", was, {"production": Synthesized(place, before)}, [])
        assert [name.partition("-")[0] for name in moved.open] == ["Network/moved"], moved.markdown
        assert f"begins a second environment in {place}" in moved.markdown
        assert of_both("title", was, {"production": Synthesized(place, before)}, moved.open).open == ()


def test_acknowledgements_are_lines_of_commit_messages(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    assert acknowledgements("--max-count=9", tmp_path) == frozenset(), "no history"
    subprocess.run([*git, "init", "--quiet"], check=True)
    for message in ("One", "Two\n\nAcknowledge: api/Service/replaced-1a2b3c\nAcknowledge:\n", "no Acknowledge: x"):
        subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", message], check=True)
    assert acknowledgements("HEAD~2..HEAD", tmp_path) == {"api/Service/replaced-1a2b3c"}
    assert acknowledgements("HEAD~1..HEAD", tmp_path) == frozenset()
