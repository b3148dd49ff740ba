"""`make rehearse ENV=dev FROM=COMMIT`: what a commit may not do to what is deployed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REDIS = "constructs/infra_constructs/redis/elasticache.py"
EDITS: dict[str, tuple[str, str, str, str]] = {
    "no edit": (REDIS, "", "", "every check passed"),
    "another Redis": (REDIS, '"Group"', '"Servers"', "replaced or removed: daadaar-dev-redis/"),
    "another port": ("environments/dev.toml", "port = 4000", "port = 4001", "daadaar-dev-api failed to deploy"),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_that_loses_something_fails_the_upgrade(edit: str, tmp_path: Path) -> None:
    file, old, new, value = EDITS[edit]
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    for installed in (".venv", "node_modules"):
        (clone / installed).symlink_to(ROOT / installed)
    text = (clone / file).read_text()
    assert old in text
    (clone / file).write_text(text.replace(old, new))
    done = subprocess.run(
        [sys.executable, "-m", "rehearsal", "dev", "--from", "HEAD"],
        cwd=clone, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": "constructs:runtime:."},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    output = re.sub(r"\s+", " ", done.stdout)
    assert (done.returncode, value in output) == (edit != "no edit", True), done.stdout
