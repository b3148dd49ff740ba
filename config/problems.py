"""Errors in environment files: place, value and allowed values, so that the reader can correct them at once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SECRET_KEY = re.compile(r"(password|passwd|secret|token|credential|api_?key|dsn)", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"://[^/\s]*@|-----BEGIN|\b(sk|ghp|gho|github_pat|xox[bp])[_-]|\bAKIA[0-9A-Z]{12,}")
_LONGEST_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One error: its place, the value there, and what is allowed instead."""

    file: Path
    line: int
    key: str
    found: str | None
    """The offending value as it may be shown; None where there is no value (a missing key)."""
    expected: str
    hint: str | None = None

    def __str__(self) -> str:
        found = "" if self.found is None else f" = {self.found}"
        key = self.key.encode("unicode_escape").decode()  # TOML lets a quoted key hold a line break
        lines = [f"{self.file}:{self.line}: {key}{found}", f"  expected: {self.expected}"]
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


class InvalidEnvironments(Exception):
    """All problems of all files that were loaded."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def looks_secret(value: str) -> bool:
    """Whether a value looks like a secret, which no file may contain."""
    return _SECRET_VALUE.search(value) is not None


def shown(key: str, value: object) -> str:
    """The value in TOML's spelling, shortened, or asterisks where it might be a secret."""
    if _SECRET_KEY.search(key.rpartition(".")[2]) or looks_secret(str(value)):
        return "********"
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        text = '"' + value.encode("unicode_escape").decode().replace('"', '\\"') + '"'
    elif isinstance(value, list):
        text = "[" + ", ".join(shown(key, item) for item in value) + "]"
    elif isinstance(value, dict):
        text = "a table with " + (", ".join(map(str, value)) or "nothing in it")
    else:
        text = str(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
