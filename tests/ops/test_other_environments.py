"""An invalid file of another environment stops no command; doctor reports what it will stop."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from config import clashes
from ops import doctor, templates

ROOT = Path(__file__).resolve().parents[2]


def _broken(environments: Path) -> None:
    (environments / "staging.toml").write_text("product = 1\n")


def _copied(environments: Path) -> None:
    """Copies production's file for a new environment, with production's names still in it."""
    (environments / "canary.toml").write_text((environments / "production.toml").read_text())


@pytest.mark.parametrize("draft", [_broken, _copied])
def test_a_command_runs_beside_a_broken_draft_of_another_environment(
    draft: Callable[[Path], None], environments: Path
) -> None:
    draft(environments)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    done = subprocess.run(
        [ROOT / "infra", "status", "production", "--service", "api"],
        env={**clean, "AWS_EC2_METADATA_DISABLED": "true", "INFRA_ENVIRONMENTS": str(environments)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "redentials" in done.stderr) == (1, True), done.stderr
    assert not any(other in done.stderr for other in ("staging", "canary"))


def test_commands_still_synthesize_their_own_environment(environments: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`edge plan`, `edge drift` and `doctor` need the templates."""
    _broken(environments)
    _copied(environments)
    monkeypatch.setenv("INFRA_ENVIRONMENTS", str(environments))
    assert "daadaar-production-edge" in templates.synthesized("production")


@pytest.mark.parametrize(("name", "other"), [("canary", "production"), ("production", "canary")])
def test_doctor_says_to_both_what_stops_the_next_deployment(name: str, other: str, environments: Path) -> None:
    assert clashes("production", directory=environments) == []
    _copied(environments)
    found = [doctor.clash(each) for each in clashes(name, directory=environments)]
    assert all(each.stops and f"{name}.toml" in each.where for each in found)
    assert any("media.bucket" in each.what and f"{other} has it already" in each.fix for each in found)
