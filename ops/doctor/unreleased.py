"""Services that DNS would lead users to before anything was released there."""

from collections.abc import Collection, Iterator
from datetime import datetime

from botocore.exceptions import ClientError

from infra_runtime.release.ledger import Ledger
from infra_runtime.release.preflight import service_of
from ops.effects import Effect
from ops.effects.rules.names import records
from ops.effects.template import Templates
from ops.functions import Clients, resources


def unreleased(clients: Clients, found: Collection[Effect], wanted: Templates) -> Iterator[tuple[Effect, str]]:
    """(the effect on DNS, service) of each: users would get the placeholder. Raises what boto3 raises."""
    for effect in found:
        if effect.kind != "leads":
            continue
        prefix = effect.stack.removesuffix("edge")
        service = records(wanted[effect.stack]["Resources"][effect.resource])[effect.host]["name"]
        # What is on Amplify has no stack of that name.
        if f"{prefix}{service}" in wanted and not _is_released(clients, prefix, service):
            yield effect, service


def _is_released(clients: Clients, prefix: str, service: str) -> bool:
    """Since the service exists: the ledger keeps releases of a former one of that name."""
    try:
        since: datetime = service_of(clients, f"{prefix}{service}")["createdAt"]
    except (ClientError, LookupError):
        return False
    (table,) = resources(clients, f"{prefix}registry", "AWS::DynamoDB::Table")
    every = Ledger(clients.client("dynamodb"), table).releases(service)
    return any(each.outcome == "succeeded" and datetime.fromisoformat(each.began) > since for each in every)
