"""Names under which users reach the product: in the zone's DNS, and in the certificate that Cloudflare asks for."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from config.previews import is_preview
from ops.effects.changes import ResourceChange
from ops.effects.effect import Effect, Impact, effect_of

_CERTIFICATE = "Custom::ValidatedCertificate"
_DECLARED = "Custom::Cloudflare"


def effects(change: ResourceChange) -> Iterator[Effect]:
    if change.old is None or change.new is None or change.type not in (_CERTIFICATE, _DECLARED):
        return
    was, is_ = _document(change.was("Document")), _document(change.is_("Document"))
    if change.type == _CERTIFICATE:
        yield from _certificate(change, was.get("hosts", []), is_.get("hosts", []))
    elif is_.get("kind") == "records":
        yield from _records(change, _by_host(was), _by_host(is_))


def _certificate(change: ResourceChange, was: list[str], is_: list[str]) -> Iterator[Effect]:
    if lost := [host for host in was if host not in is_ and not is_preview(host)]:
        named = ", ".join(lost)
        yield effect_of(
            change, Impact.DANGEROUS, "uncertified", f"is replaced by one without {named}",
            f"Cloudflare answers {named} with 526 from then on, as DNS points to the load balancer until the "
            "stack Edge is deployed.",
            procedure="keep the old name as `former_host` of the service and in `domains.redirects` "
            "(docs/runbooks/host.md), unless it is no longer used",
            properties=("Document",),
        )  # fmt: skip


def _records(
    change: ResourceChange, was: Mapping[str, Mapping[str, Any]], is_: Mapping[str, Mapping[str, Any]]
) -> Iterator[Effect]:
    lost = [host for host in was if host not in is_ and not is_preview(host)]
    if lost:
        named = ", ".join(lost)
        yield effect_of(
            change, Impact.DANGEROUS, "unnamed", f"no longer have {named}",
            "Browsers cannot resolve this host, and links to it break.",
            procedure="redirect it to a service with `domains.redirects`, unless it is no longer used",
            properties=("Document",),
        )  # fmt: skip
    for host, each in is_.items():
        if host in was and was[host]["content"] != each["content"]:
            what = f"point {host} to {each['content']} instead of {was[host]['content']}"
            consequence = "Users reach the new target from then on."
            yield replace(
                effect_of(change, Impact.LOOK, "leads", what, consequence, properties=("Document",)), host=host
            )


def records(resource: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Declared DNS records by their hosts; a reference is replaced by what it refers to."""
    return _by_host(_document(resource["Properties"]["Document"]))


def _by_host(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {each["host"]: each for each in document.get("records", [])}


def _document(value: Any) -> Mapping[str, Any]:
    """A declaration of ours, each reference replaced by what it refers to. Empty if `value` is none."""
    try:
        found = json.loads(_flat(value))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _flat(node: Any) -> str:
    """Text of a value that may be put together."""
    if not isinstance(node, Mapping) or len(node) != 1:
        return str(node)
    ((function, value),) = node.items()
    if function == "Fn::Join":
        return str(value[0]).join(map(_flat, value[1]))
    return ".".join(map(str, value)) if isinstance(value, list) else str(value)
