"""How a check says that a promise is broken, or that the environment has chosen against it."""

from typing import NoReturn


class Broken(Exception):
    """What was found instead."""


class Excluded(Exception):
    """The plan, hosting or another choice of the environment that leaves the promise without an object."""


def not_on_this_plan(because: str) -> NoReturn:
    """Raises `Excluded` with the choice."""
    raise Excluded(because)


def require(holds: object, otherwise: str) -> None:
    """Raises `Broken` with what was found."""
    if not holds:
        raise Broken(otherwise)
