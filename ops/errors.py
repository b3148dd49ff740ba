"""What an operator is told instead of a traceback."""


class OperatorError(Exception):
    """Says what was asked of whom, what came back, and what to do."""
