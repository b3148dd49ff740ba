"""A rehearsal edits the environment's file as its owner would, whichever of the keys it has."""

import re
from pathlib import Path

import pytest
import typer

from config import load
from rehearsal import command
from rehearsal.lock import locked
from rehearsal.variants import with_bake_minutes


@pytest.mark.parametrize("written", [True, False])
def test_another_bake_time_arrives_whether_the_file_names_one_or_not(
    written: bool, environments: Path, tmp_path: Path
) -> None:
    file = environments / "production.toml"
    if not written:
        file.write_text(file.read_text().replace("bake_minutes = 15\n", ""))
    into = with_bake_minutes(environments, "production", "api", 7, into=tmp_path / "edited")
    services = load(["production"], directory=into)["production"].services
    before = load(["production"], directory=environments)["production"].services
    assert services["api"].bake_minutes == 7
    assert services["frontend"] == before["frontend"]


def test_a_rehearsal_refuses_an_environment_without_a_service_that_migrates_a_database(
    environments: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rehearsal releases a service that migrates a database; the file itself is valid.

    Even while another rehearsal of dev runs in this clone.
    """
    file = environments / "dev.toml"
    text = re.sub(r"(?ms)^\[services.api.migrations\].*?(?=^\[)", "", file.read_text())
    text = text.replace('needs = ["database", "redis", "media"]', 'needs = ["redis", "media"]')
    file.write_text(text.replace("database_connections = 5\n", ""))
    assert load(["dev"], directory=environments)
    monkeypatch.setattr(command, "ENVIRONMENTS", environments)
    monkeypatch.setattr(command, "WORKSPACES", tmp_path)
    with locked("dev", folder=tmp_path), pytest.raises(typer.Exit) as ended:
        command.main("dev")
    assert ended.value.exit_code == 2
    expected = 'dev: services: expected one with a host, an image of its own and needs = ["database"], to release it'
    assert expected in capsys.readouterr().err
