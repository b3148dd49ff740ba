"""Scheduled: compares the zone with what was declared, and publishes the differences as metrics. Changes nothing."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from infra_runtime.aws import client
from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import Change, Conflict, Observed, is_wanted, undeclared_fields
from infra_runtime.cloudflare.credentials import api_from
from infra_runtime.cloudflare.provider import subject
from infra_runtime.contract.metrics import EDGE, EdgeMetric, emit
from infra_runtime.contract.secret_values import Secrets, deadline_of
from infra_runtime.reporting import reported
from infra_runtime.state_store import SsmStateStore


@dataclass(frozen=True)
class DeclarationDrift:
    """How one declaration differs from the zone."""

    name: str
    changes: list[Change]
    """Changes that a deployment would make."""
    observed: list[Observed]
    conflict: str | None = None
    undeclared: Mapping[str, list[str]] = field(default_factory=dict)
    """Fields that are set but not declared, by object. They do not count as drift."""

    @property
    def missing(self) -> int:
        return sum(each.action == "create" for each in self.changes) + (self.conflict is not None)

    @property
    def drifted(self) -> int:
        return sum(each.action != "create" for each in self.changes)

    @property
    def foreign(self) -> int:
        return sum(not each.is_ours for each in self.observed)


@reported
def handler(event: Mapping[str, Any], context: Any) -> dict[str, int]:
    """Returns the numbers that it publishes."""
    secrets = Secrets(client("secretsmanager"))
    api = api_from(secrets, os.environ["TOKEN_SECRET"], deadline=deadline_of(context))
    store = SsmStateStore(client("ssm"), os.environ["STATE_STORE"])
    found = compare(api, secrets, store)
    numbers: dict[str, int] = {
        EdgeMetric.MISSING_RULES: sum(each.missing for each in found),
        EdgeMetric.DRIFTED_RULES: sum(each.drifted for each in found),
        EdgeMetric.FOREIGN_RULES: sum(each.foreign for each in found),
    }
    emit(EDGE, {"Environment": os.environ["ENVIRONMENT"]}, numbers)
    for line in log_lines(found):
        print(json.dumps(line))  # noqa: T201
    return numbers


def log_lines(found: list[DeclarationDrift]) -> Iterator[dict[str, Any]]:
    """One line for each change that a deployment would make, each conflict, and each object with undeclared fields."""
    for each in found:
        if each.conflict is not None:
            yield {"drift": each.name, "conflict": each.conflict}
        for change in each.changes:
            yield {"drift": each.name, "would": change.action, "what": change.what}
        for what, fields in each.undeclared.items():
            yield {"information": each.name, "what": what, "undeclared": fields}


def compare(api: Api, secrets: Secrets, store: SsmStateStore) -> list[DeclarationDrift]:
    """Every declaration of the environment, compared with its zone."""
    found = []
    zone_of = cache(lambda name: zones.find(api, name))
    for name, document in sorted(store.all("declared").items()):
        declared = subject(secrets.resolve(document), api=api, zone=zone_of(document["zone"]), store=store)
        try:
            changes, conflict = declared.changes(present=is_wanted(document, datetime.now(UTC))), None
        except Conflict as error:
            changes, conflict = [], str(error)
        observed = declared.observed()
        found.append(DeclarationDrift(name, changes, observed, conflict, undeclared_fields(declared, observed)))
    return found
