"""Errors that operators see instead of tracebacks, and the exit code that reports findings."""

FINDINGS = 3
"""Exit code when a command reports findings; 1 is an error, 2 wrong input."""


class OperatorError(Exception):
    """The message says what was called, what it answered, and what to do."""


class InputError(Exception):
    """The message says which option or variable is wrong, and what is allowed."""
