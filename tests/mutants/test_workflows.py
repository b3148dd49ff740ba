"""Every single fault of a workflow is noticed, or explained. CI judges a sample, `make mutate` at all."""

import os
import random
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import Environment
from config.deploy_workflow import workflow
from tests.mutants.workflows import Fault, faults
from tests.workflows import complaints, read

WORKFLOWS = Path(__file__).resolve().parents[2] / ".github" / "workflows"
ALL = os.environ.get("MUTANTS") == "all"
SAMPLE = 250

NAME = "for people"
CALLER = "GitHub refuses the caller at once, before anything runs; actionlint knows the names (tests/layout)"
RED = "the step or its job ends red, before it has changed anything"
MINUTES = "costs minutes, or saves some"
# (path, how, why): a name in brackets stands for a step.
EXPLAINED: Sequence[tuple[str, str, str]] = (
    ("name", "drops", NAME),
    ("jobs.*.name", "drops", NAME),
    ("on.workflow_call*", "drops|flips|empties", CALLER),
    ("jobs.*.with*", "drops", CALLER),
    ("concurrency*", "drops|flips", MINUTES),
    ("jobs.*.concurrency.group", "drops", CALLER),
    ("jobs.*.timeout-minutes", "lowers|raises", MINUTES),
    ("jobs.*.strategy*", "drops|flips", MINUTES),
    ("jobs.*.steps.*.with*", "drops|lowers|raises|flips", RED),
    ("jobs.*.steps.*", "drops", RED),
    ("jobs.*.env*", "drops", RED),
    ("jobs.*.runs-on", "drops", RED),
    ("jobs.*.outputs*", "drops", RED),
)


@pytest.fixture(scope="module")
def workflows(loaded: Mapping[str, Environment]) -> dict[str, Any]:
    """Our workflows, deploying the tests' environments."""
    found: dict[str, Any] = dict(read(WORKFLOWS))
    written = yaml.safe_load(workflow(loaded))
    found["deploy.yml"] = {("on" if key is True else key): value for key, value in written.items()}
    return found


def test_every_fault_is_noticed_or_explained(workflows: dict[str, Any], loaded: Mapping[str, Environment]) -> None:
    after = {name: each.delivery.after for name, each in loaded.items()}
    assert complaints(workflows, after) == []
    every = list(faults(workflows))
    assert len(every) > 800
    left = [
        each for each in (every if ALL else random.Random(18).sample(every, SAMPLE)) if not _is_noticed(each, after)
    ]
    assert [str(each) for each in left if not any(_fits(each, *one[:2]) for one in EXPLAINED)] == []
    if ALL:
        assert [one for one in EXPLAINED if not any(_fits(each, *one[:2]) for each in left)] == [], "no longer needed"


def _is_noticed(fault: Fault, after: Mapping[str, str | None]) -> bool:
    try:
        return bool(complaints(fault.workflows, after))
    except (KeyError, ValueError, AttributeError, TypeError):
        return True  # Without a part that every workflow has, the test must fail.


def _fits(fault: Fault, path: str, how: str) -> bool:
    plain = "".join(each if number % 2 == 0 else "*" for number, each in enumerate(_split(fault.path)))
    return fnmatchcase(plain, path) and any(fnmatchcase(fault.how, each) for each in how.split("|"))


def _split(path: str) -> list[str]:
    """Names of steps may have any letter in them."""
    return path.replace("]", "[").split("[")
