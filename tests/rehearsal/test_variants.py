"""A rehearsal edits the environment's file as its owner would, whichever of the keys it has."""

from pathlib import Path

import pytest

from config import load
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
