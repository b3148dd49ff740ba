"""EC2's managed prefix lists: every change takes a moment, and what AWS refuses is refused."""

import time
from ipaddress import ip_network
from typing import Any

from ministack.services import ec2

_CHANGE_SECONDS = 0.5
_RULE_KEYS = ("IpPermissions", "IpPermissionsEgress")


def install() -> None:
    own = {name: ec2._ACTION_MAP[f"{name}ManagedPrefixList"] for name in ("Create", "Modify", "Delete")}
    own_describe = ec2._ACTION_MAP["DescribeManagedPrefixLists"]
    until: dict[str, float] = {}

    def settle() -> None:
        for name, each in ec2._prefix_lists.items():
            if until.get(name, 0) <= time.monotonic():
                each["State"] = each["State"].replace("in-progress", "complete")

    def begin(name: str, state: str) -> None:
        ec2._prefix_lists[name]["State"] = state
        until[name] = time.monotonic() + _CHANGE_SECONDS

    def create(request: dict[str, Any]) -> Any:
        family = ec2._p(request, "AddressFamily")
        added = _entries(request, "Entry")
        if refusal := _refusal(family, int(ec2._p(request, "MaxEntries")), set(added), added):
            return refusal
        before = set(ec2._prefix_lists)
        answer = own["Create"](request)
        for name in set(ec2._prefix_lists) - before:
            # MiniStack does not read this call's tags.
            ec2._parse_tag_specs(request, "prefix-list", name)
            begin(name, "create-in-progress")
        return answer

    def modify(request: dict[str, Any]) -> Any:
        settle()
        name = ec2._p(request, "PrefixListId")
        found = ec2._prefix_lists.get(name)
        if found is None:
            return own["Modify"](request)
        if found["State"].endswith("in-progress"):
            # AWS's published provider waits for the end of a change before another. The code is assumed.
            reason = f"The request cannot be completed when the prefix list ({name}) is in state {found['State']}."
            return ec2._error("IncorrectState", reason, 400)
        added, removed = _entries(request, "AddEntry"), _entries(request, "RemoveEntry")
        room = int(ec2._p(request, "MaxEntries") or found["MaxEntries"])
        if (added or removed) and room != found["MaxEntries"]:
            # terraform-provider-aws #26034.
            reason = "You cannot modify the entries and the maximum entries for the prefix list in the same request."
            return ec2._error("InvalidParameterCombination", reason, 400)
        if (added or removed) and int(ec2._p(request, "CurrentVersion") or 0) != found["Version"]:
            # terraform-provider-aws #43528.
            return ec2._error("PrefixListVersionMismatch", "The prefix list has the incorrect version number.", 400)
        left = {each["Cidr"] for each in found["Entries"]} - set(removed) | set(added)
        if refusal := _refusal(found["AddressFamily"], room, left, added):
            return refusal
        answer = own["Modify"](request)
        begin(name, "modify-in-progress")
        return answer

    def delete(request: dict[str, Any]) -> Any:
        name = ec2._p(request, "PrefixListId")
        rules = (rule for group in ec2._security_groups.values() for key in _RULE_KEYS for rule in group[key])
        if any(each["PrefixListId"] == name for rule in rules for each in rule["PrefixListIds"]):
            # VPC guide, "Delete prefix list": references must be gone first. The code is assumed.
            return ec2._error("ResourceInUse", f"The prefix list {name} is in use.", 400)
        return own["Delete"](request)

    def describe(request: dict[str, Any]) -> Any:
        settle()
        return own_describe(request)

    ec2._ACTION_MAP |= {
        "CreateManagedPrefixList": create,
        "ModifyManagedPrefixList": modify,
        "DeleteManagedPrefixList": delete,
        "DescribeManagedPrefixLists": describe,
    }


def _entries(request: dict[str, Any], key: str) -> list[str]:
    found: list[str] = []
    while cidr := ec2._p(request, f"{key}.{len(found) + 1}.Cidr"):
        found.append(cidr)
    return found


def _refusal(family: str, room: int, entries: set[str], added: list[str]) -> Any:
    if len(entries) > room:
        reason = "You've reached the maximum number of entries for the prefix list."
        return ec2._error("PrefixListMaxEntriesExceeded", reason, 400)
    version = {"IPv4": 4, "IPv6": 6}[family]
    wrong = [cidr for cidr in added if ip_network(cidr).version != version]
    if wrong:
        reason = f"The CIDR {wrong[0]} is not of the prefix list's address family."
        return ec2._error("InvalidParameterValue", reason, 400)
    return None
