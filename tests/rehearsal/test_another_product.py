"""Another product, region, plan and hosting, in repositories that were forked today.

Six services: two sites, an API, a worker and two jobs. Every check of a rehearsal follows the configuration. The
policies that hold for an owner's files are checked here too: this one has what the tests' environments lack, a worker,
jobs, a site on Amplify and the free plan.
"""

import io
import shutil
from pathlib import Path
from typing import Any

import pytest

from config import Environment, load
from ops.console import Console
from rehearsal.checks import CHECKS, Status
from rehearsal.lifecycle import WORKSPACES, RehearsalOutcome, live
from rehearsal.progress import Progress
from rehearsal.variants import forked_today
from tests.conftest import _templates as templates_in
from tests.own_environments.test_policies import *  # noqa: F403

NAME = "trial"
ORCHARD = Path(__file__).with_name("orchard.toml")


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fork's folder, with no other file."""
    folder = tmp_path_factory.mktemp("fork")
    (folder / "own").mkdir()
    shutil.copy(ORCHARD, folder / "own" / f"{NAME}.toml")
    return forked_today(folder / "own", NAME, into=folder / "environments")


@pytest.fixture(scope="module")
def lived(environments: Path) -> tuple[RehearsalOutcome, str]:
    """(outcome, output)"""
    output = io.StringIO()
    outcome = live(NAME, Progress(Console(file=output, width=200)), environments=environments)
    return outcome, output.getvalue()


@pytest.fixture(scope="module")
def loaded(environments: Path) -> dict[str, Environment]:
    return load(directory=environments)


@pytest.fixture(scope="module")
def assembly(lived: tuple[RehearsalOutcome, str]) -> Path:
    """The deployed cloud assembly."""
    return WORKSPACES / NAME / "cdk.out"


@pytest.fixture(scope="module")
def templates(assembly: Path) -> dict[str, dict[str, Any]]:
    return templates_in(assembly)


def test_every_check_passes_or_says_what_excludes_it(lived: tuple[RehearsalOutcome, str]) -> None:
    """Plan free, Amplify, Upstash beside shards, quarantine, two zones of us-east-1, Sentry of its own."""
    outcome, printed = lived
    findings = outcome.findings
    assert [(each.about, each.requirement) for each in findings] == [(each.about, each.requirement) for each in CHECKS]
    assert outcome.failures == [], printed
    excluded = {each.requirement: each.found for each in findings if each.status is Status.NOT_ON_THIS_PLAN}
    assert excluded.keys() == {
        "A restore is tried, verified, measured and cleaned up",
        "Its token rotates, and nothing fails meanwhile",
        "ElastiCache fails over within seconds",
        "Media below a prefix with its own TTL are kept for that time",
        "Redirected names lead to their service",
        "WAF managed and OWASP",
        "Slack shows each page, its end, and costs",
        "PagerDuty opens an incident for each page, and resolves it",
        "Our own checks pass the bot challenge",
    }
    assert "plan pro" in excluded["WAF managed and OWASP"]
    assert "no stack is left" in printed
    found = {each.requirement: each.found for each in findings}
    jobs = found["They run by hand, and say how they ended"]
    assert "outbox succeeded; report failed with exit code 3 at attempt 2" in jobs
    assert 'relation "reports" does not exist' in jobs
    assert found["Jobs run on their schedule"] == "outbox: started by EventBridge, and succeeded"
    assert "from node to bun" in found["Traffic moves without a lost request"]
    assert "migrated by itself" in found["An image of one program runs, on the platform that it is for"]
