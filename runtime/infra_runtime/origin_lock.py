"""Custom resource and daily job: the load balancer trusts our CA, and Cloudflare has its client certificate.

The load balancer may ask for client certificates only once Cloudflare shows one: its listener depends on this resource,
and is deleted before it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra_runtime.authority import ClientCertificateAuthority
from infra_runtime.aws import client
from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.client_certificates import ClientCertificates
from infra_runtime.cloudflare.converge import converge
from infra_runtime.cloudflare.credentials import api_from
from infra_runtime.contract.metrics import EDGE, EdgeMetric, emit
from infra_runtime.contract.secret_values import Secrets, deadline_of
from infra_runtime.custom_resource import PartlyCreated, Request, Result, serve
from infra_runtime.reporting import reported


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    """Handles CloudFormation's requests, and EventBridge's schedule, whose event is the document itself."""
    deadline = deadline_of(context)
    secrets = Secrets(client("secretsmanager"))

    def lock() -> Lock:
        api = api_from(secrets, os.environ["TOKEN_SECRET"], deadline=deadline)
        return Lock(api, secrets.manager, client("s3"), datetime.now(UTC))

    if "RequestType" in event:
        serve(event, lambda request: provide(request, lock()), redact=secrets.redact)
    else:
        close(event, lock())


@dataclass(frozen=True)
class Lock:
    api: Api
    secrets_manager: Any
    s3: Any
    now: datetime


def provide(request: Request, lock: Lock) -> Result:
    """Answers with the bucket's key that the load balancer's trust store reads, and its version."""
    document = json.loads(request.properties["Document"])
    physical_id = f"{document['owner']}/origin-lock"
    if request.kind == "Delete":
        for zone in zones.named(lock.api, document["zone"]):
            if authority := _authority(document, lock):
                certificates = ClientCertificates(lock.api, zone.id, document, authority, lock.now)
                converge(lock.api, certificates, present=False)
        return Result(str(request.physical_id))
    try:
        close(document, lock)
    except Exception as error:
        raise PartlyCreated(physical_id, error) from error
    return Result(physical_id, {"Key": document["key"]})


def close(document: Mapping[str, Any], lock: Lock) -> None:
    """Creates the CA if there is none, stores its certificate in the bucket, and renews the client certificate."""
    zone = zones.find(lock.api, document["zone"])
    authority = _authority(document, lock)
    if authority is None:
        authority = ClientCertificateAuthority.create(document["owner"], now=lock.now)
        lock.secrets_manager.put_secret_value(SecretId=document["secret"], SecretString=authority.dump())
    _publish(document, authority, lock)
    certificates = ClientCertificates(lock.api, zone.id, document, authority, lock.now)
    converge(lock.api, certificates, present=True)
    if (until := certificates.until()) is not None:
        left = {EdgeMetric.CLIENT_CERTIFICATE_LEFT.value: float((until - lock.now).days)}
        emit(EDGE, {"Environment": document["owner"]}, left)


def _authority(document: Mapping[str, Any], lock: Lock) -> ClientCertificateAuthority | None:
    """None before the first."""
    text = lock.secrets_manager.get_secret_value(SecretId=document["secret"])["SecretString"]
    return ClientCertificateAuthority.load(text) if text.startswith("{") else None


def _publish(document: Mapping[str, Any], authority: ClientCertificateAuthority, lock: Lock) -> None:
    where = {"Bucket": document["bucket"], "Key": document["key"]}
    listed = lock.s3.list_objects_v2(Bucket=document["bucket"], Prefix=document["key"], MaxKeys=1)
    if listed.get("Contents") and lock.s3.get_object(**where)["Body"].read().decode() == authority.certificate_pem:
        return
    lock.s3.put_object(**where, Body=authority.certificate_pem.encode(), ContentType="application/x-pem-file")
