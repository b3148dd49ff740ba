"""Used and granted permissions of an account: which roles were assumed, and which grants calls needed.

`python -m rehearsal.permissions ENV`, after a rehearsal of ENV, takes each used grant away in turn and replays what the
role called. A grant that nothing depends on is one too many; it is named, and the exit code is 1.
"""

import copy
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.account import Account
from simulators.aws.process import ROOT
from simulators.aws.replay import is_allowed

_FILE, _CALLS = "permissions.json", "calls.jsonl"
Policies = list[dict[str, Any]]


@dataclass(frozen=True)
class Role:
    policies: Policies
    calls: list[dict[str, Any]]
    """Distinct calls that were allowed."""

    def grants(self) -> Iterator[tuple[int, int, str]]:
        """(policy, statement, action) of everything that is allowed."""
        for number, policy in enumerate(self.policies):
            for index, statement in enumerate(policy["Statement"]):
                if statement["Effect"] == "Allow":
                    for action in statement["Action"]:
                        yield number, index, action

    def uses(self, number: int, index: int, action: str) -> bool:
        """Whether this grant alone would have allowed one of the calls."""
        alone = [{"Statement": [{**self.policies[number]["Statement"][index], "Action": [action]}]}]
        return any(is_allowed(call, alone) for call in self.calls)

    def without(self, number: int, index: int, action: str) -> Policies:
        found = copy.deepcopy(self.policies)
        statement = found[number]["Statement"][index]
        statement["Action"].remove(action)
        if not statement["Action"]:
            found[number]["Statement"].remove(statement)
        return found


def denied(workspace: Path) -> list[str]:
    """Calls of roles and of AWS's services that a policy denied, a sentence each, even if no caller noticed."""
    return [
        f"{call['caller']} may not {call['action']} {call['resource']}" for call in _calls(workspace) if call["denied"]
    ]


def report(account: Account) -> str:
    """Writes permissions.json into the workspace, and returns it in one line. To be called before the roles go."""
    pages = list(account.client("iam").get_paginator("get_account_authorization_details").paginate())
    managed = {
        policy["Arn"]: version["Document"]
        for page in pages
        for policy in page["Policies"]
        for version in policy["PolicyVersionList"]
        if version["IsDefaultVersion"] and ":iam::aws:" not in policy["Arn"]
    }
    calls = _calls_by_role(account.cdk.workspace)
    roles = {
        each["RoleName"]: Role(_documents(each, managed), calls[each["RoleName"]])
        for page in pages
        for each in page["RoleDetailList"]
        if not each["RoleName"].startswith(("cdk-", "AWSServiceRole"))
    }
    document = {
        name: {
            "granted": sorted({action for *_, action in role.grants()}),
            "used": sorted({call["action"] for call in role.calls}),
            "unused": sorted({grant[2] for grant in role.grants() if not role.uses(*grant)}),
            "policies": role.policies,
        }
        for name, role in sorted(roles.items())
    }
    (account.cdk.workspace / _FILE).write_text(json.dumps(document, indent=2))
    found = figures(account.cdk.workspace)
    missed, tried = found["grants missed"], found["grants taken away"]
    return (
        f"{found['roles exercised']} of {found['roles']} roles made calls; {found['grants used']} of "
        f"{found['grants']} grants were used; {missed} of {tried} are missed when taken away ({_FILE})"
    )


def recorded(workspace: Path) -> Mapping[str, Role]:
    """Roles by name, with policies and calls as they were when the report was written."""
    calls = _calls_by_role(workspace)
    document = json.loads((workspace / _FILE).read_text())
    return {name: Role(written["policies"], calls[name]) for name, written in document.items()}


def figures(workspace: Path) -> dict[str, float]:
    """Numbers of granted and used permissions, and the seconds that all removals take together."""
    roles = recorded(workspace).values()
    started = time.perf_counter()
    found, tried = surplus(workspace)
    return {
        "roles": len(roles),
        "roles exercised": sum(bool(role.calls) for role in roles),
        "grants": sum(1 for role in roles for _ in role.grants()),
        "grants used": sum(role.uses(*grant) for role in roles for grant in role.grants()),
        "grants taken away": tried,
        "grants missed": tried - len(found),
        "seconds of taking all away": time.perf_counter() - started,
    }


def surplus(workspace: Path) -> tuple[list[str], int]:
    """(used grants that no recorded call depends on, one sentence each; how many were tried)."""
    found, tried = [], 0
    for name, known in recorded(workspace).items():
        # A call that the resource's policy allows does not depend on the role's policies.
        role = Role(known.policies, [call for call in known.calls if is_allowed(call, known.policies)])
        for number, index, action in role.grants():
            if role.uses(number, index, action):
                tried += 1
                left = role.without(number, index, action)
                if all(is_allowed(call, left) for call in role.calls):
                    found.append(f"{name}: {action} on {role.policies[number]['Statement'][index]['Resource']}")
    return found, tried


def _calls(workspace: Path) -> list[dict[str, Any]]:
    file = workspace / _CALLS
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _calls_by_role(workspace: Path) -> Mapping[str, list[dict[str, Any]]]:
    """Allowed calls by the name of the role."""
    found = defaultdict(list)
    for call in _calls(workspace):
        if not call["denied"] and ":assumed-role/" in call["caller"]:
            found[call["caller"].split("/")[1]].append(call)
    return found


def _documents(role: Mapping[str, Any], managed: Mapping[str, Any]) -> Policies:
    """The role's inline policies, and the attached ones that belong to the account."""
    attached = [each["PolicyArn"] for each in role["AttachedManagedPolicies"]]
    own = [each["PolicyDocument"] for each in role["RolePolicyList"]]
    return [_listed(each) for each in (*own, *(managed[arn] for arn in attached if arn in managed))]


def _listed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with lists instead of single statements and actions."""
    return {
        "Statement": [
            {**each, "Action": _list(each["Action"]), "Resource": _list(each["Resource"])}
            for each in _list(document["Statement"])
        ]
    }


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def main() -> None:
    workspace = ROOT / "build" / "rehearsal" / (sys.argv[1] if len(sys.argv) > 1 else "production")
    if not (workspace / _FILE).exists():
        sys.stderr.write(f"{workspace / _FILE} does not exist: run `make rehearse ENV={workspace.name}` first\n")
        raise SystemExit(2)
    found, tried = surplus(workspace)
    for each in found:
        sys.stdout.write(f"nothing depends on {each}\n")
    failed = tried - len(found)
    sys.stdout.write(f"{workspace.name}: {tried} used grants taken away one by one, {failed} made a call fail\n")
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
