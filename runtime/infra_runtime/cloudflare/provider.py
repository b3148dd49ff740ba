"""The custom resource behind everything of ours in the zone.

One property, `Document`, holds the declaration as JSON: CloudFormation would turn every number and boolean of a
structured property into a string. The physical id is the zone's id, the owner, the kind and the name: it is known
before anything is written, so a create that fails half-way is cleaned up by the delete that CloudFormation sends next.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from infra_runtime.aws import client
from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.connector import Connector
from infra_runtime.cloudflare.converge import Subject, converge
from infra_runtime.cloudflare.credentials import api_from
from infra_runtime.cloudflare.notifications import Notifications
from infra_runtime.cloudflare.preflight import Preflight
from infra_runtime.cloudflare.records import Records
from infra_runtime.cloudflare.rules import Rules
from infra_runtime.cloudflare.singletons import Singletons
from infra_runtime.cloudflare.workers import WorkerScript
from infra_runtime.cloudflare.zone import Zone
from infra_runtime.contract.secret_values import Secrets, deadline_of
from infra_runtime.custom_resource import PartlyCreated, Request, Result, serve
from infra_runtime.reporting import reported
from infra_runtime.state_store import SsmStateStore, StateStore
from infra_runtime.vendor_api import NotFound


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    deadline = deadline_of(context)
    secrets = Secrets(client("secretsmanager"))
    store = SsmStateStore(client("ssm"), os.environ["STATE_STORE"])

    def handle(request: Request) -> Result:
        api = api_from(secrets, os.environ["TOKEN_SECRET"], deadline=deadline)
        return provide(request, api=api, secrets=secrets, store=store)

    serve(event, handle, redact=secrets.redact)


def provide(request: Request, *, api: Api, secrets: Secrets, store: StateStore) -> Result:
    """Converges one declaration. Raises `PartlyCreated` when a create fails after the zone is known."""
    document = json.loads(request.properties["Document"])
    if request.kind == "Delete":
        return _delete(document, str(request.physical_id), api=api, secrets=secrets, store=store)
    zone = zones.find(api, document["zone"])
    physical_id = f"{zone.id}/{document['owner']}/{document['kind']}/{document['name']}"
    try:
        if document["kind"] == "preflight":
            Preflight(api, zone, document).check()
            return Result(physical_id, {"ZoneId": zone.id})
        declared = secrets.resolve(document)
        converge(api, subject(declared, api=api, zone=zone, store=store), present=True)
        # Secrets stay references in it. The check for drift compares with this.
        store.put(f"declared/{document['kind']}/{document['name']}", document)
    except Exception as error:
        raise PartlyCreated(physical_id, error) from error
    return Result(physical_id, {"ZoneId": zone.id})


def subject(declared: Mapping[str, Any], *, api: Api, zone: Zone, store: StateStore) -> Subject:
    """The object kind of a declaration. Raises `ValueError` for an unknown one."""
    match declared["kind"]:
        case "rules":
            return Rules(api, zone.id, declared)
        case "records":
            return Records(api, zone.id, declared)
        case "singletons":
            return Singletons(api, zone.id, declared, store)
        case "connector":
            return Connector(api, zone.id, declared)
        case "notifications":
            return Notifications(api, zone.id, zone.account, declared)
        case "worker":
            return WorkerScript(api, zone.id, zone.name, zone.account, declared)
        case other:
            raise ValueError(f"no such kind: {other}")


def _delete(document: dict[str, Any], physical_id: str, *, api: Api, secrets: Secrets, store: StateStore) -> Result:
    """Needs the zone's id only, not an active zone; a zone that is gone has taken everything with it."""
    if document["kind"] == "preflight":
        return Result(physical_id)
    identity = physical_id.partition("/")[0]
    try:
        found = api.get(f"/zones/{identity}")
    except NotFound:
        return Result(physical_id)
    zone = Zone(identity, found["name"], found["account"]["id"], "")
    declared = secrets.resolve(document, missing_is_fine=True)
    converge(api, subject(declared, api=api, zone=zone, store=store), present=False)
    store.put(f"declared/{document['kind']}/{document['name']}", None)
    return Result(physical_id)
