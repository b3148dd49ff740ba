"""The line of each key in a TOML file, for error messages: `tomllib` does not report lines."""

import re
from collections.abc import Iterator

_HEADER = re.compile(r"^\s*\[\[?\s*(?P<key>[^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_ASSIGNMENT = re.compile(r"^\s*(?P<key>(?:\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+|\s*\.\s*)+?)\s*=")
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+)")
_INLINE_KEY = re.compile(r"[{,]\s*(?:\"(?P<quoted>[^\"]*)\"|(?P<bare>[A-Za-z0-9_-]+))\s*=")


def _parts(key: str) -> list[str]:
    return [next(group for group in match.groups() if group is not None) for match in _PART.finditer(key)]


def _without_strings(line: str) -> str:
    """The line without its comment and with its strings blanked, so that brackets can be counted."""
    blanked = re.sub(r"\"(?:\\.|[^\"\\])*\"|'[^']*'", lambda match: " " * len(match[0]), line)
    return blanked.partition("#")[0]


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(line number, line) of each line that begins an entry; lines inside a multi-line string or array do not."""
    open_brackets, long_string = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        inside = bool(long_string) or open_brackets > 0
        if long_string:
            long_string = "" if long_string in line else long_string
        else:
            for quotes in ('"""', "'''"):
                if line.count(quotes) % 2:
                    long_string = quotes
            rest = _without_strings(line)
            if inside or "=" in rest:
                open_brackets = max(0, open_brackets + rest.count("[") - rest.count("]"))
        if not inside:
            yield number, line


def line_of_keys(text: str) -> dict[str, int]:
    """Maps each dotted key, tables included, to its line (from 1)."""
    lines: dict[str, int] = {}
    table: list[str] = []
    for number, line in _logical_lines(text):
        if header := _HEADER.match(line):
            table = _parts(header["key"])
            for depth in range(1, len(table) + 1):
                lines.setdefault(".".join(table[:depth]), number)
        elif assignment := _ASSIGNMENT.match(line):
            key = [*table, *_parts(assignment["key"])]
            for depth in range(len(table) + 1, len(key) + 1):
                lines.setdefault(".".join(key[:depth]), number)
            for inner in _INLINE_KEY.finditer(line):
                lines.setdefault(".".join([*key, inner["quoted"] or inner["bare"]]), number)
    return lines
