"""The recipes of CONTRIBUTING.md name files, folders and make targets that exist; README.md lists every document."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_TEXT = (_ROOT / "CONTRIBUTING.md").read_text()
_FOLDERS = {path.parent.name for path in _ROOT.glob("*/*") if path.parent.name not in {".venv", "build"}}
_TARGETS = set(re.findall(r"^([a-z-]+):", (_ROOT / "Makefile").read_text(), re.MULTILINE))


def paths(text: str) -> list[str]:
    """Every path in code spans that begins with a folder or file of this repository."""
    words = [word.strip(",;()") for code in re.findall(r"`([^`]+)`", text) for word in code.split()]
    return sorted({word for word in words if "=" not in word and _is_ours(word)})


def _is_ours(word: str) -> bool:
    folder, slash, _ = word.partition("/")
    return bool(slash and folder in _FOLDERS) or bool(re.fullmatch(r"[\w-]+\.(in|toml|md)", word))


def missing(path: str) -> bool:
    """A word in capitals stands for any name."""
    return not any(_ROOT.glob(re.sub(r"\b[A-Z]{3,}\b(?!\.md)|\bRUNBOOK\b", "*", path)))


@pytest.mark.parametrize("path", paths(_TEXT))
def test_a_path_in_a_recipe_exists(path: str) -> None:
    assert not missing(path)


def test_the_commands_of_recipes_are_make_targets() -> None:
    named = set(re.findall(r"`make ([a-z-]+)", _TEXT))
    assert {"accept", "lock", "rehearse"} <= named <= _TARGETS


def test_the_tests_of_every_lambda_function_are_found() -> None:
    (command,) = re.findall(r"`(git grep [^`]+)`", _TEXT)
    constructs = (_ROOT / "constructs").rglob("*.py")
    modules = {module for path in constructs for module in re.findall(r'module="([a-z_.]+)"', path.read_text())}
    assert len(modules) > 25
    for module in sorted(modules):
        package, _, name = f"infra_runtime.{module}".rpartition(".")
        own = command.replace("infra_runtime.a import .*b", f"{package} import .*{name}")
        own = own.replace("infra_runtime.a.b", f"infra_runtime.{module}")
        found = subprocess.run(shlex.split(own), cwd=_ROOT, capture_output=True, text=True, check=False)
        assert found.stdout, own


def test_a_path_that_does_not_exist_is_found() -> None:
    (path,) = paths("edit `config/modell.py`, then run `make test`")
    assert missing(path)
    assert not missing("docs/runbooks/RUNBOOK.md")
    assert not missing("environments/NAME.toml")


def test_the_readme_lists_every_document_by_its_kind() -> None:
    section = (_ROOT / "README.md").read_text().partition("## Documentation\n")[2]
    linked = re.findall(r"\]\((docs/\w[\w-]*\.md)\)", section)
    assert sorted(linked) == sorted(f"docs/{path.name}" for path in (_ROOT / "docs").glob("*.md"))
