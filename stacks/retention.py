"""Translates the environment's `protection` into the constructs' `Retention`."""

from config import Environment
from infra_constructs.retention import Retention


def retention_of(environment: Environment) -> Retention:
    protection = environment.protection
    if protection.data == "keep":
        return Retention.kept()
    return Retention.disposable(reason=protection.reason or "")
