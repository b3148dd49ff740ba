"""What a change of the code would do to each environment, for whoever approves it: Markdown, without an account."""

import json
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.errors import InputError
from ops.templates import ROOT, synthesized_in

Template = Mapping[str, Any]
Templates = Mapping[str, Template]
_ASSET = re.compile(r"\b[0-9a-f]{64}\b")
_MOST_NAMED = 12
_RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
# What holds state, and which of its properties CloudFormation cannot change without making another one, empty
# (AWS, "Update requires: Replacement").
_STATEFUL: dict[str, frozenset[str]] = {
    "AWS::RDS::DBInstance": frozenset(
        (
            "DBInstanceIdentifier",
            "DBName",
            "Engine",
            "MasterUsername",
            "StorageEncrypted",
            "KmsKeyId",
            "DBSubnetGroupName",
        )
    ),
    "AWS::S3::Bucket": frozenset(("BucketName",)),
    "AWS::ECR::Repository": frozenset(("RepositoryName", "EncryptionConfiguration")),
    "AWS::DynamoDB::Table": frozenset(("TableName", "KeySchema")),
    "AWS::SecretsManager::Secret": frozenset(("Name", "GenerateSecretString")),
    "AWS::KMS::Key": frozenset(("KeySpec", "KeyUsage", "MultiRegion")),
}
# Prices in eu-central-1, a month of 730 hours without traffic, as in config/model.py.
_USD = {"NAT gateway": 38, "interface endpoint in a zone": 8}


@dataclass(frozen=True)
class Change:
    """One resource that is not as before. `properties` is empty when it comes or goes."""

    stack: str
    logical_id: str
    type: str
    what: str
    properties: tuple[str, ...] = ()


@dataclass(frozen=True)
class Risk:
    what: str
    why: str


def changes(before: Templates, after: Templates) -> Iterator[Change]:
    for stack in sorted({*before, *after}):
        old = before.get(stack, {}).get("Resources", {})
        new = after.get(stack, {}).get("Resources", {})
        for logical_id in sorted({*old, *new}):
            was, is_ = old.get(logical_id), new.get(logical_id)
            if was is None:
                yield Change(stack, logical_id, is_["Type"], "new")
            elif is_ is None:
                yield Change(stack, logical_id, was["Type"], "gone")
            elif named := tuple(_different(was, is_)):
                yield Change(stack, logical_id, is_["Type"], "changed", named)


def _different(was: Mapping[str, Any], is_: Mapping[str, Any]) -> Iterator[str]:
    """Names of properties; code of functions is not shown, as it is another one with every change of a line."""
    old, new = was.get("Properties", {}), is_.get("Properties", {})
    for key in sorted({*old, *new}):
        if _masked(old.get(key)) != _masked(new.get(key)):
            yield key
    for key in ("DeletionPolicy", "UpdateReplacePolicy"):
        if was.get(key) != is_.get(key):
            yield key


def _masked(node: Any) -> str:
    return _ASSET.sub("", json.dumps(node, sort_keys=True))


def risks(before: Templates, after: Templates, found: list[Change]) -> Iterator[Risk]:
    for each in found:
        where = f"{each.stack}: `{each.logical_id}`"
        if each.type in _STATEFUL and each.what == "gone":
            yield Risk(f"{where} ({each.type}) goes", "it holds data; renamed, it would come back empty")
        replaced = _STATEFUL.get(each.type, frozenset()) & set(each.properties)
        if replaced:
            yield Risk(
                f"{where} is made anew ({', '.join(sorted(replaced))})", "it holds data, and the new one is empty"
            )
        if each.type in _STATEFUL and "DeletionPolicy" in each.properties:
            yield Risk(f"{where}: another DeletionPolicy", "what happens to its data when it goes")
        if each.type == _RULE and each.what != "new":
            yield Risk(f"{where} changes", "ECS has moved its weights: users would be sent to an empty group (ADR 4)")
        if each.type == "AWS::CloudWatch::Alarm" and each.what == "gone":
            yield Risk(f"{where} goes", "nobody is told any more")
        if each.type.startswith("AWS::EC2::SecurityGroup") and each.what != "gone":
            yield Risk(f"{where} {each.what}", "who may connect to what")
    for stack in after:
        more = _allowed(after[stack]) - _allowed(before.get(stack, {}))
        for action, resource in sorted(more)[:_MOST_NAMED]:
            yield Risk(f"{stack}: `{action}` on `{resource[:100]}`", "more access than before")


def _allowed(template: Template) -> set[tuple[str, str]]:
    """(action, resource) of every statement that allows something; of new policies as well."""
    found = set()
    for each in template.get("Resources", {}).values():
        if each["Type"] not in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            continue
        for statement in each["Properties"]["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow":
                found |= {
                    (action, json.dumps(resource, sort_keys=True))
                    for action in _each(statement["Action"])
                    for resource in _each(statement.get("Resource"))
                }
    return found


def _each(node: Any) -> list[Any]:
    return node if isinstance(node, list) else [node]


def billed(templates: Templates) -> Counter[str]:
    """What costs by the hour, whether anybody uses it or not."""
    found: Counter[str] = Counter()
    for template in templates.values():
        resources = template["Resources"]
        tasks = {
            logical_id: each["Properties"]
            for logical_id, each in resources.items()
            if each["Type"].endswith("TaskDefinition")
        }
        for each in resources.values():
            properties = each.get("Properties", {})
            match each["Type"]:
                case "AWS::EC2::NatGateway":
                    found["NAT gateway"] += 1
                case "AWS::EC2::VPCEndpoint" if properties.get("VpcEndpointType") == "Interface":
                    found["interface endpoint in a zone"] += len(properties["SubnetIds"])
                case "AWS::EC2::Instance":
                    found[str(properties["InstanceType"])] += 1
                case "AWS::RDS::DBInstance":
                    found[str(properties["DBInstanceClass"])] += 2 if properties.get("MultiAZ") else 1
                    found["GiB of database storage"] += int(properties["AllocatedStorage"])
                case "AWS::ElastiCache::ReplicationGroup":
                    shards = int(properties.get("NumNodeGroups", 1))
                    replicas = int(
                        properties.get("ReplicasPerNodeGroup", int(properties.get("NumCacheClusters", 1)) - 1)
                    )
                    found[str(properties["CacheNodeType"])] += shards * (1 + replicas)
                case "AWS::ElasticLoadBalancingV2::LoadBalancer":
                    found["load balancer"] += 1
                case "AWS::ApplicationAutoScaling::ScalableTarget":
                    (task,) = [each for name, each in tasks.items() if name.startswith("Service")]
                    least = int(properties["MinCapacity"])
                    # Quarters of a vCPU are what Fargate sells.
                    found["vCPU of Fargate at least (quarters)"] += least * int(task["Cpu"]) // 256
                    found["MiB of Fargate at least"] += least * int(task["Memory"])
    return found


def markdown(environment: str, before: Templates, after: Templates) -> str:
    found = list(changes(before, after))
    lines = [f"## {environment}", ""]
    if not found:
        return "\n".join([*lines, "Nothing changes.", ""])
    dangers = list(dict.fromkeys(risks(before, after, found)))
    lines += [f"- **{each.what}**: {each.why}" for each in dangers[: 2 * _MOST_NAMED]]
    if len(dangers) > 2 * _MOST_NAMED:
        lines.append(f"- and {len(dangers) - 2 * _MOST_NAMED} more")
    lines += [""] if dangers else ["No known risk.", ""]
    lines += list(_cost(billed(before), billed(after)))
    lines += ["<details><summary>" + _summary(found) + "</summary>", ""]
    for each in found:
        told = f" ({', '.join(each.properties)})" if each.properties else ""
        lines.append(f"- {each.stack}: {each.what} {each.type} `{each.logical_id}`{told}")
    return "\n".join([*lines, "", "</details>", ""])


def _summary(found: list[Change]) -> str:
    counted = Counter(each.what for each in found)
    return ", ".join(f"{counted[what]} {what}" for what in ("new", "changed", "gone") if counted[what])


def _cost(before: Counter[str], after: Counter[str]) -> Iterator[str]:
    """Of what is billed by the hour; prices only where this repository has them."""
    moved = [key for key in sorted({*before, *after}) if before[key] != after[key]]
    if not moved:
        yield from ("Nothing that is billed by the hour comes or goes.", "")
        return
    yield from ("| billed by the hour | before | after | USD a month, about |", "| --- | --- | --- | --- |")
    for key in moved:
        usd = f"{(after[key] - before[key]) * _USD[key]:+d}" if key in _USD else ""
        yield f"| {key} | {before[key]} | {after[key]} | {usd} |"
    yield ""


def review(base: str) -> str:
    """Of everything between the commit `base` and this working tree. Raises `InputError`, `OperatorError`."""
    with _tree(base) as tree, ThreadPoolExecutor() as both:
        before, after = both.map(synthesized_in, (tree, ROOT))
    parts = [f"# What this would do, compared with {base[:12]}", ""]
    parts += [markdown(name, before.get(name, {}), templates) for name, templates in after.items()]
    gone = sorted(before.keys() - after.keys())
    parts += [f"## {name}\n\n**The environment goes from the code; its stacks stay.**\n" for name in gone]
    return "\n".join(parts)


@contextmanager
def _tree(commit: str) -> Iterator[Path]:
    """The working tree of another commit, beside this one; gone with the block."""
    git = ["git", "-C", str(ROOT)]
    known = subprocess.run(
        [*git, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"], capture_output=True, check=False
    )
    if known.returncode:
        raise InputError(f"BASE {commit!r}: expected a commit of this repository")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            # What is installed is this tree's: templates differ by the code, and not by what was fetched.
            (tree / ".venv").symlink_to(ROOT / ".venv")
            yield tree
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(tree)], check=True)
