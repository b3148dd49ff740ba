"""The custom resource behind a database at Upstash.

Upstash identifies a database by an id that it generates, and allows two of the same name. So the name is ours, each
creation is recorded before it begins, and a database of that name without a record is not ours.

The URL goes into a secret of ours and into no attribute, so that no template contains it.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra_runtime.aws import client
from infra_runtime.contract.redis_url import UPSTASH_PORTS, Node, RedisTarget
from infra_runtime.contract.secret_values import Secrets, deadline_of
from infra_runtime.custom_resource import PartlyCreated, Request, Result, serve
from infra_runtime.redis.upstash_api import UpstashApi, upstash_from
from infra_runtime.reporting import reported
from infra_runtime.state_store import SsmStateStore, StateStore
from infra_runtime.vendor_api import NotFound, OutcomeUnknown, Refused

_POLL_SECONDS = 2.0
_ACTIVE = "active"


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    deadline = deadline_of(context)
    secrets = Secrets(client("secretsmanager"))
    store = SsmStateStore(client("ssm"), os.environ["STATE_STORE"])

    def handle(request: Request) -> Result:
        api = upstash_from(secrets, os.environ["CREDENTIALS_SECRET"], deadline=deadline)
        return provide(request, api=api, secrets=secrets, store=store)

    serve(event, handle, redact=secrets.redact)


def provide(request: Request, *, api: UpstashApi, secrets: Secrets, store: StateStore) -> Result:
    """Creates or changes the database as declared, and writes its URL to the secret."""
    declared = json.loads(request.properties["Document"])
    database = _Database(
        api, store, declared["name"], declared["region"], sorted(declared["read_regions"]), declared["eviction"]
    )
    physical_id = f"upstash/{database.name}"
    if request.kind == "Delete":
        _Database(api, store, str(request.physical_id).partition("/")[2]).delete()
        return Result(str(request.physical_id))
    if request.kind == "Update":
        if request.physical_id != physical_id:
            raise Refused(f"{request.physical_id}: a database keeps its name; add another instance instead")
        database.same_region()
    elif not database.is_free():
        raise Refused(f"Upstash has a database {database.name} already, and it is not ours: delete or rename that one")
    try:
        found = database.converge()
        secrets.known.add(found["password"])
        secrets.manager.put_secret_value(SecretId=request.properties["UrlSecret"], SecretString=_url(found))
    except Exception as error:
        raise PartlyCreated(physical_id, error) from error
    return Result(physical_id)


def key_of(name: str) -> str:
    """Under which a database is remembered."""
    return f"upstash/{name}"


@dataclass(frozen=True)
class _Database:
    api: UpstashApi
    store: StateStore
    name: str
    region: str = ""
    read_regions: Sequence[str] = ()
    eviction: bool = True

    def is_free(self) -> bool:
        """Whether the name is free, or ours already: CloudFormation may send the same request twice."""
        return self.store.get(key_of(self.name)) is not None or self._named() is None

    def same_region(self) -> None:
        remembered = self.store.get(key_of(self.name)) or {}
        if remembered.get("region", self.region) != self.region:
            raise Refused(
                f"{self.name} is in {remembered['region']}: a database does not move; add another instance, change "
                "over to it and remove this one (docs/runbooks/redis-migrate.md)"
            )

    def converge(self) -> dict[str, Any]:
        """Creates or changes the database. Returns it as Upstash then describes it, with its password."""
        found = self._ours() or self._create()
        identity = found["database_id"]
        self.store.put(key_of(self.name), {"id": identity, "region": self.region})
        found = self._until_active(identity)
        if sorted(found.get("read_regions") or []) != list(self.read_regions):
            self.api.set_read_regions(identity, list(self.read_regions))
        if bool(found.get("eviction")) != self.eviction:
            self.api.set_eviction(identity, on=self.eviction)
        if not found.get("tls"):  # New databases have it on by default.
            self.api.enable_tls(identity)
        return self._until_active(identity)

    def delete(self) -> None:
        if found := self._ours():
            self.api.delete(found["database_id"])
        self.store.put(key_of(self.name), None)

    def _ours(self) -> dict[str, Any] | None:
        """None when we never made it, or it was deleted."""
        remembered = self.store.get(key_of(self.name))
        if remembered is None:
            return None
        if "id" not in remembered:
            return self._named()
        try:
            return self.api.database(remembered["id"])
        except NotFound:
            return None

    def _named(self) -> dict[str, Any] | None:
        return next((each for each in self.api.databases() if each["database_name"] == self.name), None)

    def _create(self) -> dict[str, Any]:
        # Before the call: if its answer is lost, the delete that follows still knows that the database is ours.
        self.store.put(key_of(self.name), {"region": self.region})
        try:
            return self.api.create(name=self.name, region=self.region, read_regions=list(self.read_regions))
        except OutcomeUnknown:
            if found := self._named():
                return found
            raise

    def _until_active(self, identity: str) -> dict[str, Any]:
        while (found := self.api.database(identity)).get("state", _ACTIVE) != _ACTIVE:
            self.api.wait(_POLL_SECONDS, f"the database {self.name} is {found['state']}")
        return found


def _url(found: Mapping[str, Any]) -> str:
    """Raises `Refused` for what the tasks could not reach, or not safely."""
    if not found.get("tls"):
        raise Refused("Upstash made a database without TLS")
    if found["port"] not in UPSTASH_PORTS:
        raise Refused(f"the database listens on port {found['port']}; tasks can reach {UPSTASH_PORTS}")
    node = Node(found["endpoint"], found["port"])
    return RedisTarget(form="single", nodes=(node,), tls=True, username="default", password=found["password"]).url()
