"""The owner's files in environments/. Tests may assume of them only what holds for every valid file."""

from config import Environment, InvalidEnvironments, load
from config.loader import OWN
from config.services import words

# Stacks of every environment.
_ALWAYS = ("Network", "Data", "Registry", "Platform", "Redis", "Edge", "Observability", "Delivery")


def environments() -> dict[str, Environment]:
    """The owner's environments by name; none if a file is invalid, which tests/own_environments/ reports."""
    try:
        return load(directory=OWN)
    except InvalidEnvironments:
        return {}


def stacks(environment: Environment) -> list[str]:
    """Stacks of an environment, with only one of its preview slots, as they differ only in number."""
    services = [words(name) for name, each in environment.services.items() if each.runs is None]
    return [*_ALWAYS, *services, *(["Preview1"] if environment.previews is not None else [])]
