"""What is checked from outside, apart from the checking: a synthesis reads this and loads no client for it."""

from collections.abc import Mapping
from dataclasses import dataclass

PASS_HEADER = "x-infra-check"  # noqa: S105  (the name of the header)


@dataclass(frozen=True)
class CheckTarget:
    name: str
    url: str
    needs_pass: bool = False
    """Stopped by a bot challenge or the maintenance page otherwise."""
    browser_seconds: int | None = None
    """How long browsers are to keep it; None when it is nothing to keep."""
    dependencies: Mapping[str, str] | None = None
    """Fields of its JSON answer about what it depends on, by dotted name, and the value of each when all is well."""
