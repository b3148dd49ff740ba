"""The typed model of an environment: what may differ, what must hold, and clear errors when it does not."""

from config.loader import ENVIRONMENTS, available, clashes, load, neighbours
from config.model import Environment
from config.problems import InvalidEnvironments, Problem

__all__ = [
    "ENVIRONMENTS",
    "Environment",
    "InvalidEnvironments",
    "Problem",
    "available",
    "clashes",
    "load",
    "neighbours",
]
