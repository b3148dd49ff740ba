"""Cleans the output of programs that write for a terminal."""

import re

# ECMA-48: control sequences, other escapes, and single control characters but the tabulator.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]?|[\x00-\x08\x0a-\x1f\x7f]")


def plain(line: str) -> str:
    """The line without colours and cursor movements."""
    return _CONTROL.sub("", line).rstrip()
