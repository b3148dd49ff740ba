"""Custom resource and schedule: the prefix list of the addresses that Cloudflare connects from.

The list is this function's own. AWS::EC2::PrefixList would not do: AWS's published update handler removes every entry
that the template does not have, or fails, when anything of the list changes, a tag of the stack included.

New ranges are let in at once, old ones are kept for a month: traffic moves to a new range at any time after it was
published, and away from an old one at any time before it was withdrawn.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from typing import Any

import httpx
from botocore.exceptions import ClientError

from infra_runtime.aws import client
from infra_runtime.cloudflare.credentials import base_url
from infra_runtime.contract.metrics import EDGE, EdgeMetric, emit
from infra_runtime.custom_resource import PartlyCreated, Request, Result, serve
from infra_runtime.reporting import reported
from infra_runtime.state_store import SsmStateStore, StateStore
from infra_runtime.vendor_api import Clock

KEY = "ranges"
_KEPT_FOR = timedelta(days=30)
# Cloudflare's widest is a /13. Anything wider than a /8 would make the bucket's policy public, and be a mistake.
_WIDEST = 8
_MISSING = "InvalidPrefixListID.NotFound"
_POLL_SECONDS, _SETTLES_WITHIN = 2, 60


class Unsettled(Exception):
    """EC2 could not carry out a change of the list, or did not in time."""


class Suspicious(Exception):
    """What was published cannot be right; nothing was changed."""


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    """Handles CloudFormation's requests, and EventBridge's schedule, whose event also names the prefix list."""
    store = SsmStateStore(client("ssm"), os.environ["STATE_STORE"])
    ranges = Ranges(client("ec2"), store, published, datetime.now(UTC))
    if "RequestType" in event:
        serve(event, lambda request: provide(request, ranges))
    else:
        refresh(ranges, event["PrefixList"])


@dataclass(frozen=True)
class Ranges:
    ec2: Any
    store: StateStore
    published: Callable[[], list[str]]
    now: datetime
    clock: Clock = field(default_factory=Clock)


def provide(request: Request, ranges: Ranges) -> Result:
    """The physical id is the list's. A list of the same name is taken over: a repeated event must not make two."""
    if request.kind == "Delete":
        _delete(ranges.ec2, str(request.physical_id))
        ranges.store.put(KEY, None)
        return Result(str(request.physical_id))
    name, room = request.properties["Name"], int(request.properties["MaxEntries"])
    prefix_list = request.physical_id or _named(ranges.ec2, name) or _create(ranges.ec2, name, room)
    try:
        _resize(ranges, prefix_list, room)
        refresh(ranges, prefix_list)
    except Exception as error:
        raise PartlyCreated(prefix_list, error) from error
    return Result(prefix_list)


def published() -> list[str]:
    """Asked of Cloudflare, without a token. Raises `httpx.HTTPError`."""
    answer = httpx.get(f"{base_url()}/ips", timeout=20)
    answer.raise_for_status()
    found: list[str] = answer.json()["result"]["ipv4_cidrs"]
    return found


def refresh(ranges: Ranges, prefix_list: str) -> None:
    """Raises `Suspicious` rather than shut Cloudflare out, or let others in."""
    known: dict[str, str] = ranges.store.get(KEY) or {}
    fresh = _checked(ranges.published(), known)
    last_published = known | dict.fromkeys(fresh, ranges.now.isoformat())
    kept = {
        cidr: when for cidr, when in last_published.items() if ranges.now - datetime.fromisoformat(when) <= _KEPT_FOR
    }
    added, removed = _write(ranges, prefix_list, sorted(kept))
    # After the list: the bucket's policy follows this, and may follow later.
    ranges.store.put(KEY, kept)
    numbers: dict[str, float] = {
        EdgeMetric.RANGES_ADDED: len(added) if known else 0,
        EdgeMetric.RANGES_REMOVED: len(removed),
    }
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


def _write(ranges: Ranges, prefix_list: str, wanted: list[str]) -> tuple[list[str], list[str]]:
    version = _settled(ranges, prefix_list)["Version"]
    pages = ranges.ec2.get_paginator("get_managed_prefix_list_entries").paginate(PrefixListId=prefix_list)
    found = {entry["Cidr"] for page in pages for entry in page["Entries"]}
    added, removed = sorted(set(wanted) - found), sorted(found - set(wanted))
    if added or removed:
        ranges.ec2.modify_managed_prefix_list(
            PrefixListId=prefix_list,
            CurrentVersion=version,
            AddEntries=[{"Cidr": cidr, "Description": "Cloudflare"} for cidr in added],
            RemoveEntries=[{"Cidr": cidr} for cidr in removed],
        )
        _carried_out(ranges, prefix_list)
    return added, removed


def _named(ec2: Any, name: str) -> str | None:
    named = [{"Name": "prefix-list-name", "Values": [name]}]
    pages = ec2.get_paginator("describe_managed_prefix_lists").paginate(Filters=named)
    found = [each for page in pages for each in page["PrefixLists"] if not each["State"].startswith("delete")]
    return str(found[0]["PrefixListId"]) if found else None


def _create(ec2: Any, name: str, room: int) -> str:
    made = ec2.create_managed_prefix_list(
        PrefixListName=name,
        AddressFamily="IPv4",
        MaxEntries=room,
        # The role may touch lists with this tag only.
        TagSpecifications=[{"ResourceType": "prefix-list", "Tags": [{"Key": "owner", "Value": name}]}],
    )
    return str(made["PrefixList"]["PrefixListId"])


def _resize(ranges: Ranges, prefix_list: str, room: int) -> None:
    """EC2 changes either the size or the entries in one call."""
    if _settled(ranges, prefix_list)["MaxEntries"] != room:
        ranges.ec2.modify_managed_prefix_list(PrefixListId=prefix_list, MaxEntries=room)
        _carried_out(ranges, prefix_list)


def _carried_out(ranges: Ranges, prefix_list: str) -> None:
    """A change may fail after EC2 has accepted it. Raises `Unsettled`."""
    found = _settled(ranges, prefix_list)
    if found["State"].endswith("-failed"):
        raise Unsettled(f"{prefix_list}: {found['State']} {found.get('StateMessage', '')}".strip())


def _settled(ranges: Ranges, prefix_list: str) -> Mapping[str, Any]:
    """The list once no change of it is in progress: until then EC2 refuses another. Raises `Unsettled`."""
    deadline = ranges.clock.now() + _SETTLES_WITHIN
    while not (found := _described(ranges.ec2, prefix_list))["State"].endswith(("-complete", "-failed")):
        if ranges.clock.now() > deadline:
            raise Unsettled(f"{prefix_list}: still {found['State']}")
        ranges.clock.sleep(_POLL_SECONDS)
    return found


def _described(ec2: Any, prefix_list: str) -> Mapping[str, Any]:
    try:
        (found,) = ec2.describe_managed_prefix_lists(PrefixListIds=[prefix_list])["PrefixLists"]
    except ClientError as error:
        if error.response["Error"]["Code"] != _MISSING:
            raise
        # A read may be behind the call that made the list.
        return {"State": "not found"}
    return dict(found)


def _delete(ec2: Any, prefix_list: str) -> None:
    try:
        ec2.delete_managed_prefix_list(PrefixListId=prefix_list)
    except ClientError as error:
        if error.response["Error"]["Code"] != _MISSING:
            raise
