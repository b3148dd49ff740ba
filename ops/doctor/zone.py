"""The Cloudflare zone and token: what the deployment's own preflight asks, and DNSSEC."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from config import services
from config.model import Environment
from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.credentials import api_from
from infra_runtime.cloudflare.preflight import NotReady, Preflight
from infra_runtime.cloudflare.zone import NoZone, Zone
from infra_runtime.contract.secret_values import Secrets
from infra_runtime.vendor_api import BadCredentials, Refused, VendorError
from ops.account import is_denied
from ops.doctor.finding import Finding
from ops.edge.synthesized import text_of
from ops.edge.zone import require_reachable
from ops.effects.template import Templates
from ops.errors import OperatorError
from ops.functions import Clients

_TIMEOUT_SECONDS = 20.0


def zone(environment: Environment, templates: Templates, clients: Clients) -> Iterator[Finding]:
    where, secret = f"zone {environment.domains.zone}", environment.cloudflare.token_secret
    try:
        secrets = Secrets(clients.client("secretsmanager"))
        api = api_from(secrets, secret, deadline=time.time() + _TIMEOUT_SECONDS)
    except (BadCredentials, ClientError) as error:  # which the check of the secrets reports
        why = "a zone that is not active, or a token without permissions, stops the stack Platform"
        what = "the token may not be read" if is_denied(error) else "there is no token"
        fix, stops = f"first the secret {secret}", not is_denied(error)
        yield Finding(where=where, what=f"was not checked: {what}", why=why, fix=fix, stops=stops)
        return
    try:
        require_reachable(api)
        found = zones.find(api, environment.domains.zone)
        yield from _dnssec(api, found, where)
        yield from _workers(api, found, where)
        yield from _edge_certificate(api, found, environment, where)
        Preflight(api, found, _declared(templates)).check()
    except (NoZone, NotReady) as error:
        why = "the deployment's preflight stops at the same"
        yield Finding(
            where=where, what=str(error), why=why, fix="docs/cloudflare-token.md, or in Cloudflare's dashboard"
        )
    except (VendorError, OperatorError) as error:
        why = "the deployment needs its API"
        yield Finding(where=where, what=str(error), why=why, fix="try again; see status.cloudflare.com")


def _dnssec(api: Api, found: Zone, where: str) -> Iterator[Finding]:
    try:
        dnssec = api.get(f"/zones/{found.id}/dnssec").get("status", "disabled")
    except Refused:  # not of the permissions that the deployment needs
        return
    if dnssec not in ("active", "disabled"):
        yield Finding(
            where=where,
            what=f"DNSSEC is {dnssec}",
            why="until the registrar has added or removed the DS record, validating resolvers may refuse the zone",
            fix="give the registrar the DS record from Cloudflare's dashboard → DNS → Settings → DNSSEC",
        )


def _edge_certificate(api: Api, found: Zone, environment: Environment, where: str) -> Iterator[Finding]:
    """Cloudflare issues it within a day of the zone's activation (cloudflare-docs, "Enable Universal SSL")."""
    try:
        packs = api.pages(f"/zones/{found.id}/ssl/certificate_packs")
    except Refused:  # not of the permissions that the deployment needs
        return
    covered = {host for pack in packs for host in pack["hosts"]}
    hosts = {*services.hosts(environment).values(), environment.domains.media, *environment.domains.redirects}
    if missing := sorted(each for each in hosts if not {each, f"*.{each.partition('.')[2]}"} & covered):
        yield Finding(
            where=where,
            what=f"no certificate at the edge covers {', '.join(missing)}",
            why="browsers refuse these names until Cloudflare has one, and the external checks page someone",
            fix="wait until it is active: Cloudflare's dashboard → SSL/TLS → Edge Certificates; a new zone's takes up "
            "to a day. If Universal SSL is off, turn it on there",
            stops=False,
        )


def _workers(api: Api, found: Zone, where: str) -> Iterator[Finding]:
    """Checked although a deployment may need no Worker: an incident would be too late to find out."""
    try:
        api.get(f"/accounts/{found.account}/workers/scripts")
        api.get(f"/zones/{found.id}/workers/routes")
    except Refused as error:
        yield Finding(
            where=where,
            what=f"the token may not manage Workers ({error})",
            why="`infra maintenance on` could not answer 503",
            fix="grant it Workers Scripts Write and Workers Routes Write: docs/cloudflare-token.md",
            stops=False,
        )


def _declared(templates: Templates) -> Mapping[str, Any]:
    for template in templates.values():
        for resource in template["Resources"].values():
            if resource["Type"] == "Custom::Cloudflare":
                document: dict[str, Any] = json.loads(text_of(resource["Properties"]["Document"], unknown="?"))
                if document["kind"] == "preflight":
                    return document
    raise LookupError("no stack declares a preflight")
