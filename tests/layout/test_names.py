"""One meaning for each class name, and none of the words that were retired."""

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
# Names that two files may define, with the reason.
_SHARED = {
    "a table of the environment's file, and the construct made from it": {
        "Costs", "Database", "ElastiCache", "Media", "Network", "RedisInstance",
    },
    "a construct, and what its Lambda module does": {
        "Notifications", "Preflight", "PreviewControl", "ReleaseControl", "StateStore",
    },
    "the vendor's own term, and a thing of ours": {"Action", "Environment", "Incident", "Plan", "Zone"},
}  # fmt: skip
# Names and phrases that were replaced, by CHANGELOG.md. No file may use them.
_RETIRED = (
    r"infra_constructs[./]watch\b",
    r"rehearsal[./](promises|life|stage)\b",
    r"\b(told_as|in_incident|tells_memory_itself|errors_at|ask_before|IS_BAD|IS_GOOD|IS_IGNORED)\b",
    r"\b(SsmMemory|Tenancy|went_back|WENT_BACK|SOMETHING)\b",
    r"\b(patience|refusals|questions)\.py\b",
    r"\b(Nothing|What|what|nothing) stands against\b",
    r"\bwhat (has )?(became|become) of\b",
)


def _tracked(*patterns: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=_ROOT, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.split("\0") if name and (_ROOT / name).is_file()]


def defined_twice(sources: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    """Files by the public class that several of them define. `sources` are paths and their code."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, code in sources:
        for node in ast.parse(code).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(path)
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def _code() -> Iterator[tuple[str, str]]:
    """Python files except tests, whose fakes are named after what they replace."""
    for name in _tracked("*.py"):
        if not name.startswith("tests/"):
            yield name, (_ROOT / name).read_text()


def test_each_class_name_has_one_meaning() -> None:
    allowed = set().union(*_SHARED.values())
    found = defined_twice(_code())
    assert {name: paths for name, paths in found.items() if name not in allowed} == {}
    assert allowed <= found.keys(), "nothing shares these names any more"
    assert max(len(paths) for paths in found.values()) == 2


def test_a_second_class_of_a_name_is_found() -> None:
    sources = [
        ("a.py", "class Finding: ..."),
        ("b.py", "class Finding: ...\nclass _Row: ..."),
        ("c.py", "class _Row: ..."),
    ]
    assert defined_twice(sources) == {"Finding": ["a.py", "b.py"]}


@pytest.mark.parametrize("pattern", _RETIRED)
def test_retired_words_stay_retired(pattern: str) -> None:
    here = Path(__file__).relative_to(_ROOT).as_posix()
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in _tracked("*.py", "*.md", "*.mjs", "*.yml", "*.toml", "*.sh", "Makefile")
        if name not in {"CHANGELOG.md", here}
        for number, line in enumerate((_ROOT / name).read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == []
