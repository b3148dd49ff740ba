"""The typed model of an environment: its keys, the rules about them, and clear errors for what breaks a rule."""

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
