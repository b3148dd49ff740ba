"""Whatever is written into an environment file, loading it ends in an environment or in clear problems."""

import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from config import ENVIRONMENTS, InvalidEnvironments, load
from config.positions import line_of_keys

PRODUCTION = (ENVIRONMENTS / "production.toml").read_text()
VALUES = ["0", "-1", "99999999999999999999", "1.5", "nan", "true", '""', '"x"', "[]", "[1]", '["a", 1]', "{}",
          "1979-05-27", '"\\u0000"', "'''\n'''", '"ü"', "0x10", "[[1]]", '{a = "b"}', "07:32:00"]  # fmt: skip


def assignments() -> list[int]:
    return [number for number, line in enumerate(PRODUCTION.splitlines()) if "=" in line and not line.startswith("#")]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(assignments()), st.sampled_from(VALUES)), min_size=1, max_size=6))
def test_an_error_in_any_value_is_reported_with_its_line(changes: list[tuple[int, str]]) -> None:
    lines = PRODUCTION.splitlines()
    for number, value in changes:
        lines[number] = f"{lines[number].partition('=')[0]}= {value}"
    with TemporaryDirectory() as directory:
        (Path(directory) / "production.toml").write_text("\n".join(lines))
        try:
            load(directory=Path(directory))
        except InvalidEnvironments as invalid:
            for problem in invalid.problems:
                assert 1 <= problem.line <= len("\n".join(lines).splitlines())
                assert len(str(problem).splitlines()) <= 3


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_refused_without_a_traceback(text: str) -> None:
    with TemporaryDirectory() as directory:
        (Path(directory) / "x.toml").write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            load(directory=Path(directory))
        except InvalidEnvironments as invalid:
            assert invalid.problems
        else:
            raise AssertionError("no text of this size is a whole environment")


def keys_of(table: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for key, value in table.items():
        found.add(prefix + key)
        if isinstance(value, dict):
            found |= keys_of(value, f"{prefix}{key}.")
    return found


def test_every_key_of_a_real_file_has_a_line() -> None:
    assert keys_of(tomllib.loads(PRODUCTION)) <= set(line_of_keys(PRODUCTION))
