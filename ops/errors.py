"""Errors that operators see instead of tracebacks, and the exit code that reports findings."""

FINDINGS = 3
"""Exit code for "there is something", as `cdk diff --fail` and `git diff --exit-code` have theirs."""


class OperatorError(Exception):
    """Says what was asked of whom, what came back, and what to do."""


class InputError(Exception):
    """Says which option or variable is wrong, and what is allowed there."""
