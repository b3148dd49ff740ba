"""Custom resource and schedule: the addresses that Cloudflare connects from, in the prefix list and remembered.

New ranges are let in at once, old ones are kept for a month: traffic moves to a new range at any time after it was
published, and away from an old one at any time before it was withdrawn.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from typing import Any

import httpx

from infra_runtime.aws import client
from infra_runtime.cloudflare.credentials import base_url
from infra_runtime.custom_resource import Request, Result, serve
from infra_runtime.memory import Memory, SsmMemory
from infra_runtime.metrics import EDGE, Edge, emit
from infra_runtime.reporting import reported

KEY = "ranges"
_KEPT_FOR = timedelta(days=30)
# Cloudflare's widest is a /13. Anything wider than a /8 would make the bucket's policy public, and be a mistake.
_WIDEST = 8


class Suspicious(Exception):
    """What was published cannot be right; nothing was changed."""


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    """For CloudFormation, and for EventBridge, whose event names the prefix list as well."""
    ec2, memory = client("ec2"), SsmMemory(client("ssm"), os.environ["MEMORY"])

    def job(prefix_list: str) -> None:
        refresh(Ranges(ec2, memory, published, datetime.now(UTC)), prefix_list)

    if "RequestType" in event:
        serve(event, lambda request: provide(request, job, memory))
    else:
        job(event["PrefixList"])


@dataclass(frozen=True)
class Ranges:
    ec2: Any
    memory: Memory
    published: Callable[[], list[str]]
    now: datetime


def provide(request: Request, job: Callable[[str], None], memory: Memory) -> Result:
    prefix_list = request.properties["PrefixList"]
    if request.kind == "Delete":
        memory.put(KEY, None)
    else:
        job(prefix_list)
    return Result(prefix_list)


def published() -> list[str]:
    """Asked of Cloudflare, without a token. Raises `httpx.HTTPError`."""
    answer = httpx.get(f"{base_url()}/ips", timeout=20)
    answer.raise_for_status()
    found: list[str] = answer.json()["result"]["ipv4_cidrs"]
    return found


def refresh(ranges: Ranges, prefix_list: str) -> None:
    """Raises `Suspicious` rather than shut Cloudflare out, or let others in."""
    known: dict[str, str] = ranges.memory.get(KEY) or {}
    fresh = _checked(ranges.published(), known)
    seen = known | dict.fromkeys(fresh, ranges.now.isoformat())
    kept = {
        cidr: when for cidr, when in seen.items() if ranges.now - datetime.fromisoformat(when) <= _KEPT_FOR
    }  # fmt: skip
    added, removed = _write(ranges.ec2, prefix_list, sorted(kept))
    # After the list: the bucket's policy follows this, and may follow later.
    ranges.memory.put(KEY, kept)
    numbers: dict[str, float] = {Edge.RANGES_ADDED: len(added) if known else 0, Edge.RANGES_REMOVED: len(removed)}
    emit(EDGE, {"Environment": os.environ["ENVIRONMENT"]}, numbers)
    if added or removed:
        print(json.dumps({"added": added, "removed": removed}))  # noqa: T201


def _checked(published: Iterable[str], known: Mapping[str, str]) -> list[str]:
    found = sorted(set(published))
    for cidr in found:
        try:
            network = IPv4Network(cidr)
        except ValueError as error:
            raise Suspicious(f"{cidr!r} is not an IPv4 network") from error
        if network.prefixlen < _WIDEST or not network.is_global:
            raise Suspicious(f"{cidr} is too wide, or not of the public internet")
    if not found or 2 * len(found) < len(known):
        raise Suspicious(f"{len(found)} ranges published, {len(known)} known: more than half would be gone")
    return found


def _write(ec2: Any, prefix_list: str, wanted: list[str]) -> tuple[list[str], list[str]]:
    pages = ec2.get_paginator("get_managed_prefix_list_entries").paginate(PrefixListId=prefix_list)
    found = {entry["Cidr"] for page in pages for entry in page["Entries"]}
    added, removed = sorted(set(wanted) - found), sorted(found - set(wanted))
    if added or removed:
        version = ec2.describe_managed_prefix_lists(PrefixListIds=[prefix_list])["PrefixLists"][0]["Version"]
        ec2.modify_managed_prefix_list(
            PrefixListId=prefix_list,
            CurrentVersion=version,
            AddEntries=[{"Cidr": cidr, "Description": "Cloudflare"} for cidr in added],
            RemoveEntries=[{"Cidr": cidr} for cidr in removed],
        )
    return added, removed
