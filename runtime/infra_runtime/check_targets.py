"""What is checked from outside, apart from the checking: a synthesis reads this and loads no client for it."""

from dataclasses import dataclass

PASS_HEADER = "x-infra-check"  # noqa: S105  (the name of the header)


@dataclass(frozen=True)
class Target:
    name: str
    url: str
    needs_pass: bool = False
    """Challenged as a bot otherwise."""
    browser_seconds: int | None = None
    """How long browsers are to keep it; None when it is nothing to keep."""
