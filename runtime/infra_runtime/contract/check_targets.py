"""Targets of the checks from outside, apart from the checks, so that synthesis need not load an HTTP client."""

from collections.abc import Mapping
from dataclasses import dataclass

PASS_HEADER = "x-infra-check"  # noqa: S105  (the name of the header)


@dataclass(frozen=True)
class CheckTarget:
    name: str
    url: str
    needs_pass: bool = False
    """Whether it sends the secret header that passes bot challenges and the maintenance page."""
    browser_seconds: int | None = None
    """Expected max-age of its Cache-Control; None for what is not cached."""
    dependencies: Mapping[str, str] | None = None
    """Fields of its JSON about its dependencies, by dotted name, with the value of each while they work."""
