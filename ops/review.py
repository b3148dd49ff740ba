"""What a change of the code would do to each environment, as Markdown for its reviewer; needs no account."""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import typer

from config.model import Environment
from ops.effects import Effect, Impact, effects
from ops.effects.rules import leaving
from ops.effects.template import Templates
from ops.errors import FINDINGS, InputError
from ops.functions import Clients
from ops.overwritten import overwritten
from ops.progress import working
from ops.report import print_json
from ops.stacks import stacks, templates
from ops.templates import ROOT, Synthesized, synthesized, synthesized_in

_MOST_NAMED = 24
# Whose messages may acknowledge an effect of what is deployed. deploy-environment.yml fetches as many.
COMMITS = 100
TRAILER = "Acknowledge:"
_ACKNOWLEDGED = re.compile(rf"^{TRAILER} (\S+)\s*$", re.MULTILINE)
_HOW = (
    "To merge a dangerous effect, copy its line above into a commit message of this pull request "
    "(`git commit --allow-empty`). An impossible effect needs another change."
)
# Prices in eu-central-1, a month of 730 hours without traffic, as in config/model.py.
_USD = {"NAT gateway": 38, "interface endpoint in a zone": 8}


@dataclass(frozen=True, kw_only=True)
class Reviewed:
    """One effect."""

    severity: str
    """safe, look, dangerous or impossible."""
    name: str
    """Name with which a commit message acknowledges it."""
    stack: str
    resource: str
    """Logical id; "" for the stack as a whole."""
    type: str
    what: str
    consequence: str
    procedure: str
    stops: bool
    """Whether it is impossible, or dangerous and not acknowledged."""


@dataclass(frozen=True)
class Review:
    markdown: str
    effects: dict[str, list[Reviewed]]
    """Effects by environment."""

    @property
    def open(self) -> tuple[str, ...]:
        """Names of effects that are impossible, or dangerous and not acknowledged: what may not be merged."""
        return tuple(each.name for found in self.effects.values() for each in found if each.stops)

    plan: str
    """Digest of the templates before and after: the same as long as the deployment does the same."""


def billed(templates: Templates) -> Counter[str]:
    """Types that are billed by the hour, used or not."""
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


def open_among(found: Iterable[Effect], acknowledged: Collection[str]) -> list[Effect]:
    """Effects that stop a merge or a deployment. An impossible one cannot be acknowledged."""
    return [
        each
        for each in found
        if each.severity is Impact.IMPOSSIBLE or (each.severity is Impact.DANGEROUS and each.name not in acknowledged)
    ]


def markdown(
    environment: str,
    before: Templates,
    after: Templates,
    found: Sequence[Effect],
    acknowledged: Collection[str] = (),
) -> str:
    lines = [f"## {environment}", ""]
    if not found:
        return "\n".join([*lines, "Nothing changes.", ""])
    for severity, heading in _HEADINGS.items():
        lines += _section(heading, [each for each in found if each.severity is severity], acknowledged)
    if all(each.severity is Impact.SAFE for each in found):
        lines += ["No known risk.", ""]
    lines += list(_cost(billed(before), billed(after)))
    safe = [each for each in found if each.severity is Impact.SAFE]
    lines += [f"<details><summary>{len(safe)} changes that users do not notice</summary>", ""]
    lines += [f"- {each.stack}: {each.type} `{each.resource}` {each.what}" for each in safe]
    return "\n".join([*lines, "", "</details>", ""])


_HEADINGS = {
    Impact.IMPOSSIBLE: "Impossible: AWS refuses it",
    Impact.DANGEROUS: "Dangerous: acknowledge by name",
    Impact.LOOK: "Worth a look",
}


def _section(heading: str, found: Sequence[Effect], acknowledged: Collection[str]) -> Iterator[str]:
    """One entry for resources to which the same happens."""
    if not found:
        return
    yield from (f"### {heading}", "")
    alike: dict[tuple[str, ...], list[Effect]] = {}
    for each in found:
        alike.setdefault((each.stack, each.type, each.what, each.consequence, each.procedure), []).append(each)
    # What has to be acknowledged is always named.
    shown = len(alike) if found[0].severity is Impact.DANGEROUS else _MOST_NAMED
    for (stack, type_, what, consequence, procedure), effects_ in list(alike.items())[:shown]:
        which = ", ".join(f"`{each.resource}`" for each in effects_ if each.resource)
        where = f"{stack}: {type_} {which}" if which else stack
        yield f"- **{where} {what}.** {consequence}" + (f" Safely: {procedure}." if procedure else "")
        for each in effects_ if found[0].severity is Impact.DANGEROUS else ():
            yield f"  - {'acknowledged' if each.name in acknowledged else f'`{TRAILER} {each.name}`'}"
    if len(alike) > shown:
        yield f"- and {len(alike) - shown} more"
    yield ""


def _cost(before: Counter[str], after: Counter[str]) -> Iterator[str]:
    """How the number of resources that are billed by the hour changes; prices only where this repository has them."""
    moved = [key for key in sorted({*before, *after}) if before[key] != after[key]]
    if not moved:
        yield from ("Resources that are billed by the hour do not change.", "")
        return
    yield from ("| billed by the hour | before | after | USD a month, about |", "| --- | --- | --- | --- |")
    for key in moved:
        usd = f"{(after[key] - before[key]) * _USD[key]:+d}" if key in _USD else ""
        yield f"| {key} | {before[key]} | {after[key]} | {usd} |"
    yield ""


def review(base: str) -> Review:
    """Review of everything between the commit `base` and this working tree. Raises `InputError`, `OperatorError`."""
    with tree_of(base) as tree, working("synthesizing both versions"), ThreadPoolExecutor() as both:
        before, after = both.map(synthesized_in, (tree, ROOT))
    return of_both(f"compared with {base[:12]}", before, after, acknowledgements(f"{base}..HEAD"))


def of_both(
    title: str, before: Mapping[str, Synthesized], after: Mapping[str, Synthesized], acknowledged: Collection[str]
) -> Review:
    """Of two working trees' environments, by name. In another account or region an environment is created again."""
    states, moved = {}, {}
    for name in {**after, **before}:
        was, is_ = (each.get(name, Synthesized("", {})) for each in (before, after))
        states[name] = was.templates, is_.templates
        if was.templates and is_.templates and was.place != is_.place:
            states[name] = {}, is_.templates
            moved[name] = leaving.moved(was.place, is_.place, next(iter(is_.templates)))
    return compared(title, states, acknowledged, moved)


def deployed(name: str, environment: Environment, clients: Clients, wanted: Templates | None = None) -> Review:
    """Review against what is deployed now; `wanted` are this code's templates, if they are synthesized already.

    Raises `OperatorError` and what boto3 raises.
    """
    ours = [each for each in stacks(clients, name) if each.tags.get("product") == environment.product]
    if not ours:
        where = f"Nothing of {name} is deployed in account {environment.aws.account}: everything is new."
        return Review(f"# Effects of a deployment, compared with what is deployed\n\n{where}\n", {name: []}, plan="")
    wanted = wanted or synthesized(name)
    with working(f"reading what is deployed of {name}"):
        now = templates(clients, ours, wanted)
        by_hand = list(overwritten(clients, now, wanted, effects(now, wanted)))
    return compared(
        "compared with what is deployed",
        {name: (now, wanted)},
        acknowledgements(f"--max-count={COMMITS}"),
        by_hand=by_hand,
    )


def compared(
    title: str,
    states: Mapping[str, tuple[Templates, Templates]],
    acknowledged: Collection[str],
    moved: Mapping[str, Effect] = MappingProxyType({}),
    *,
    by_hand: Sequence[Effect] = (),
) -> Review:
    """`states` are the templates before and after, by environment; `moved` is what `leaving.moved` says of one.

    `by_hand` is what no template shows.
    """
    parts, reviewed = [f"# Effects of a deployment, {title}", ""], {}
    for name, (before, after) in states.items():
        found = [*([moved[name]] if name in moved else []), *effects(before, after), *by_hand]
        parts.append(markdown(name, before, after, found, acknowledged))
        stopping = open_among(found, acknowledged)
        reviewed[name] = [_reviewed(each, stops=each in stopping) for each in found]
    left = sum(each.stops for found in reviewed.values() for each in found)
    if left:
        parts.append(f"**{left} effects stop the deployment.** {_HOW}\n")
    plan = hashlib.sha256(json.dumps(states, sort_keys=True).encode()).hexdigest()[:16]
    return Review("\n".join([*parts, f"Plan: {plan}\n"]), reviewed, plan)


def _reviewed(effect: Effect, *, stops: bool) -> Reviewed:
    return Reviewed(
        severity=effect.severity.name.lower(),
        name=effect.name,
        stack=effect.stack,
        resource=effect.resource,
        type=effect.type,
        what=effect.what,
        consequence=effect.consequence,
        procedure=effect.procedure,
        stops=stops,
    )


def show(found: Review, *, as_json: bool, approved: str = "") -> None:
    """Raises `typer.Exit` with 3 when something stops it, or when another plan was approved."""
    if as_json:
        print_json(found.effects)
    else:
        print(found.markdown)  # noqa: T201
    is_another = bool(approved) and approved != found.plan
    if is_another:
        text = f"--approved {approved}: the code or what is deployed has changed since; approve this plan instead"
        print(text, file=sys.stderr)  # noqa: T201
    if found.open or is_another:
        raise typer.Exit(FINDINGS)


def acknowledgements(commits: str, repository: Path = ROOT) -> frozenset[str]:
    """Names of effects in the messages of these commits: `Acknowledge: NAME`, on a separate line.

    None where there is no history, as in an archive of the code.
    """
    log = subprocess.run(
        ["git", "-C", str(repository), "log", "--format=%B", commits], capture_output=True, text=True, check=False
    ).stdout
    return frozenset(_ACKNOWLEDGED.findall(log))


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """The working tree of another commit, beside this one; gone with the block. Raises `InputError`."""
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
