"""From what the environment says of its data to what the constructs make of it."""

from config import Environment
from infra_constructs.retention import Retention


def retention_of(environment: Environment) -> Retention:
    protection = environment.protection
    if protection.data == "keep":
        return Retention.kept()
    return Retention.disposable(reason=protection.reason or "")
