"""The layout that the imports rest on, and what the repository may not contain."""

import re
import subprocess
import sys
from pathlib import Path

import constructs
import pytest

ROOT = Path(__file__).resolve().parents[2]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("folder", ["constructs", "tests/constructs", "runtime"])
def test_source_roots_are_not_packages(folder: str) -> None:
    assert (ROOT / folder).is_dir()
    assert not (ROOT / folder / "__init__.py").exists()


def test_the_name_constructs_belongs_to_the_library() -> None:
    assert constructs.__file__ is not None
    assert ROOT / "constructs" not in Path(constructs.__file__).parents


def test_importing_the_composition_root_does_nothing() -> None:
    """No environment is read and nothing is synthesized before `main` is called."""
    probe = "import app, pathlib; assert not hasattr(app, 'environments'); print('imported')"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "imported\n", "")


def test_every_direct_dependency_says_why() -> None:
    lines = [line for line in (ROOT / "requirements.in").read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) > 10
    assert [line for line in lines if not re.match(r"[a-z0-9-]+(==\S+)?\s+# \S+ \S+", line)] == []


def test_every_locked_requirement_is_pinned_and_hashed() -> None:
    text = (ROOT / "requirements.txt").read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if re.match(r"[a-z]", line)]
    assert len(entries) > 30
    assert [line for line in entries if not re.match(r"\S+==\S+.* --hash=sha256:[0-9a-f]{64}", line)] == []


def test_no_registry_is_named() -> None:
    """Whoever installs decides where from: lock files with addresses would tie everyone to ours."""
    hosts = re.compile(r"registry\." + r"npmjs|files\." + r"pythonhosted|pypi\." + r"org|deb\." + r"debian\.org")
    assert hosts.search("https://registry." + "npmjs.org/x")  # the positive control
    found = [path for path in tracked() if path.suffix != ".png" and hosts.search(path.read_text(errors="replace"))]
    assert found == []


def test_the_cli_is_pinned_exactly() -> None:
    """npm's newest is an accidental publish of 2025 that cannot read our assembly."""
    assert '"aws-cdk": "2.1148.1"' in (ROOT / "package.json").read_text()
    assert '"node_modules/aws-cdk": {\n      "version": "2.1148.1"' in (ROOT / "package-lock.json").read_text()
