"""Assertions of checks: failed, or not applicable to the environment."""

import time
from collections.abc import Callable
from typing import NoReturn


class Failed(Exception):
    """A check failed. The message says what was found instead."""


class Excluded(Exception):
    """The environment's plan, hosting or another choice excludes the check. The message names it."""


def not_on_this_plan(because: str) -> NoReturn:
    """Raises `Excluded` with the choice."""
    raise Excluded(because)


def require(holds: object, otherwise: str) -> None:
    """Raises `Failed` with what was found."""
    if not holds:
        raise Failed(otherwise)


def wait_until(holds: Callable[[], bool], otherwise: Callable[[], str], *, seconds: float, every: float = 0.1) -> None:
    """Raises `Failed` with what was found, if the condition does not become true within so many seconds."""
    give_up = time.monotonic() + seconds
    while not holds():
        require(time.monotonic() < give_up, otherwise())
        time.sleep(every)
