"""`infra review`: what a reviewer is told of a change, and that what hurts stands first."""

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.review import billed, changes, markdown, risks

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
    ("spoil", "told"),
    [
        (_rename_the_database, "(AWS::RDS::DBInstance) goes"),
        (_encrypt_otherwise, "is made anew (KmsKeyId)"),
        (_let_the_data_go, "another DeletionPolicy"),
        (_move_users, "users would be sent to an empty group"),
        (_drop_an_alarm, "nobody is told any more"),
        (_open_a_port, "who may connect to what"),
        (_allow_everything, "`iam:*`"),
    ],
)
def test_what_hurts_is_said_first(spoil: Callable[[Templates], None], told: str, before: Templates) -> None:
    after = copy.deepcopy(before)
    spoil(after)
    found = markdown("production", before, after)
    assert told in found.partition("<details>")[0]


def test_another_asset_is_no_change(before: Templates) -> None:
    after = json.loads(json.dumps(before).replace("nothing", "nothing"))
    function = of_type(after, "Api", "AWS::Lambda::Function")[1]["Properties"]
    function["Code"]["S3Key"] = f"{'0' * 64}.zip"
    assert list(changes(before, after)) == []
    assert "Nothing changes." in markdown("production", before, after)


def test_a_harmless_change_is_called_so(before: Templates) -> None:
    after = copy.deepcopy(before)
    of_type(after, "Api", "AWS::Lambda::Function")[1]["Properties"]["Timeout"] = 61
    found = list(changes(before, after))
    assert [(each.what, each.properties) for each in found] == [("changed", ("Timeout",))]
    assert list(risks(before, after, found)) == []
    assert "No known risk." in markdown("production", before, after)


def test_what_is_billed_by_the_hour_is_counted(before: Templates) -> None:
    assert billed(before) == {
        "NAT gateway": 3, "interface endpoint in a zone": 12, "db.r8g.large": 2, "GiB of database storage": 100,
        "cache.m7g.large": 3, "load balancer": 1, "vCPU of Fargate at least (quarters)": 24,
        "MiB of Fargate at least": 12288,
    }  # fmt: skip
    after = copy.deepcopy(before)
    name, _ = of_type(after, "Network", "AWS::EC2::NatGateway")
    del after["Network"]["Resources"][name]
    assert "| NAT gateway | 3 | 2 | -38 |" in markdown("production", before, after)


def worktrees() -> list[str]:
    """Paths of this repository's working trees, which its owner may have several of."""
    command = ["git", "-C", str(ROOT), "worktree", "list", "--porcelain"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.startswith("worktree ")]


def test_this_very_tree_against_its_last_commit() -> None:
    before = worktrees()
    done = subprocess.run([ROOT / "infra", "review", "HEAD"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# What this would do")
    assert all(f"## {name}" in done.stdout for name in ("dev", "staging", "production"))
    unknown = subprocess.run([ROOT / "infra", "review", "nonsense"], capture_output=True, text=True, check=False)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "expected a commit of this repository" in unknown.stderr
    assert worktrees() == before, "one was left behind"
