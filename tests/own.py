"""The files in environments/, which their owner edits: what tests may ask of them holds whatever they say."""

from config import Environment, InvalidEnvironments, load
from config.loader import OWN
from config.services import words

# Of every environment.
_ALWAYS = ("Network", "Data", "Registry", "Platform", "Redis", "Edge", "Observability", "Delivery")


def environments() -> dict[str, Environment]:
    """By name; none where a file is wrong, of which tests/own_environments/test_validity.py tells."""
    try:
        return load(directory=OWN)
    except InvalidEnvironments:
        return {}


def stacks(environment: Environment) -> list[str]:
    """Names, with one of the slots for previews, which differ in their number only."""
    services = [words(name) for name, each in environment.services.items() if each.runs is None]
    return [*_ALWAYS, *services, *(["Preview1"] if environment.previews is not None else [])]
