"""How a promise says that it is not kept."""


class Broken(Exception):
    """What was found instead."""


def require(holds: object, otherwise: str) -> None:
    """Raises `Broken` with what was found."""
    if not holds:
        raise Broken(otherwise)
