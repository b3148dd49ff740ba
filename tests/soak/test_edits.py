"""One-line edits of an environment's file: what review and doctor say, and what their deployment under traffic does.

Each is deployed over the one account, compared, and taken back by another deployment, which is compared, too. EDITS is
how many, those of issue 18 first. The table of them all is build/edits.md.
"""

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from config import ENVIRONMENTS, Environment, InvalidEnvironments, load
from config.services import words
from ops import doctor
from ops.change import steps
from ops.doctor.deployed import AT_REST
from ops.doctor.finding import Finding
from ops.effects import Effect, Impact, effects
from ops.effects.template import Templates
from ops.review import of_both
from ops.stacks import stacks, templates
from ops.templates import Synthesized, place, read
from rehearsal.account import Account, opened
from rehearsal.cdk_cli import CdkFailed
from rehearsal.checks.releases import first_release, release
from rehearsal.outcome import DeploymentOutcome, disagreements, watched
from rehearsal.pipeline import DEPLOY, Pipeline
from rehearsal.product import LONE
from rehearsal.push import push
from simulators.aws.process import ROOT
from tests.effects import edits
from tests.effects.edits import Edit
from tests.effects.test_one_line_edits import raw_of

NAME = "dev"
TABLE = ROOT / "build" / "edits.md"
_STORAGE_GIB = 30
"""More than the minimum, so that an edit can lower it."""


def base() -> dict[str, Any]:
    raw = raw_of(NAME)
    raw["database"]["storage_gib"] = _STORAGE_GIB
    # As the rehearsed product's worker has them.
    raw["services"]["mail"] |= {
        "needs": ["redis", "queue"],
        "health_command": ["/infra/busybox", "test", "-e", "/tmp/alive"],  # noqa: S108
    }
    return raw


def on_amplify(raw: Mapping[str, Any]) -> Edit:
    """More than a line: what ECS needs goes with it."""
    kept = {key: raw["services"]["frontend"][key] for key in ("host", "site", "variables")}
    amplify = {"repository": "daadaar/frontend", "branch": "main", "access_token_secret": "daadaar/github-token"}
    value = {**kept, "amplify": amplify}
    services = {**raw["services"], "frontend": value}
    return Edit("services.frontend", "amplify", value, {**raw, "services": services})


# Those of the table that issue 18 begins with: key and value, None for one that is removed.
NAMED: Sequence[tuple[str, Any]] = (
    ("services.api.port", 4001),
    ("services.api.health_path", "/api/health/liv1"),
    ("network.nat", "single"),
    ("network.availability_zones", ["eu-central-1a", "eu-central-1b", "eu-central-1c"]),
    ("previews.slots", 1),
    ("database.storage_gib", _STORAGE_GIB - 1),
    ("database.version", 18),
    ("redis.instances.main.elasticache.engine", "valkey-8.0"),
    ("database.instance", "t4g.small"),
    ("services.api.host", "new.daadaar.com"),
    ("product", "fruits"),
    ("previews", None),
)


def chosen() -> list[Edit]:
    raw = base()
    every = list(edits.edits(raw))
    named = [next(each for each in every if (each.key, each.value) == wanted) for wanted in NAMED]
    named.append(on_amplify(raw))
    # Draws one edit from each table and each kind of edit, then a second one, and so on.
    rank: dict[tuple[str, str], int] = defaultdict(int)
    ranked = []
    for each in every:
        alike = (each.key.rpartition(".")[0] or each.key, each.how)
        rank[alike] += 1
        ranked.append((rank[alike], each))
    others = [each for _, each in sorted(ranked, key=lambda pair: pair[0]) if each not in named]
    return [*named, *others][: int(os.environ.get("EDITS", len(every) + 1))]


@dataclass(frozen=True)
class Version:
    """One text of the file, and what it makes."""

    raw: Mapping[str, Any]
    environment: Environment
    assembly: Path
    templates: Templates
    place: str


@dataclass
class Bench:
    """The account, what is deployed there, and a row of the table for each edit."""

    folder: Path
    context: Mapping[str, Any]
    deployed: Version
    _around: ExitStack
    wrong_order: DeploymentOutcome | None = None
    """The state of the newest deployment before an image answered its health path; None if it needed no other."""
    taken: list[str] = field(default_factory=list)
    """Steps of the newest deployment, by their first words; none if it was one."""
    _rows: list[str] = field(default_factory=list)
    _made: int = 0
    _releases: int = 0

    def __post_init__(self) -> None:
        self._begin()

    def begin_anew(self) -> None:
        """Starts a new account after an edit that left something behind."""
        self._around.close()
        self._begin()

    def _begin(self) -> None:
        self._made += 1
        self.account = deployed(self.deployed, self.folder / f"account-{self._made}", self._around)
        (self._job,) = (each for each in Pipeline(self.account).jobs if each.workflow == DEPLOY)

    def row(self, *columns: object) -> None:
        """Adds a line after each edit, so that an interrupted run has results."""
        heading = "| edit | review says | doctor says | deployed | back | agree |"
        self._rows.append(f"| {' | '.join(str(each).replace('|', '/') for each in columns)} |")
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text("\n".join([heading, "| --- | --- | --- | --- | --- | --- |", *self._rows, ""]))

    def version(self, raw: Mapping[str, Any]) -> Version:
        """Raises `InvalidEnvironments`."""
        self._made += 1
        return synthesized(raw, self.context, self.folder / str(self._made))

    def now(self, wanted: Version) -> Templates:
        ours = [each for each in stacks(self.account, NAME) if each.tags.get("product") == "daadaar"]
        return templates(self.account, ours, wanted.templates)

    def doctor(self, wanted: Version, found: Sequence[Effect] = ()) -> list[Finding]:
        """What stops the deployment. `found` are effects that somebody has acknowledged."""
        os.environ.update(CLOUDFLARE_BASE_URL=self.account.cloudflare_url, GITHUB_API_URL=self.account.github_url)
        acknowledged = [each.name for each in found]
        output = doctor.examine(NAME, wanted.environment, self.account, wanted.templates, acknowledged=acknowledged)
        return [each for each in output if each.stops]

    def deploy(self, wanted: Version, *ids: str) -> None:
        """Deploys the stacks that differ, as the pipeline does. Raises `CdkFailed`."""
        now = self.now(wanted)
        differ = [name for name, each in wanted.templates.items() if now.get(name) != each]
        ids = ids or tuple(f"{NAME}/{words(name.split('-', 2)[2])}" for name in differ)
        if ids:
            self._deployer().cdk.deploy(wanted.assembly, *ids, options=("--exclusively",))

    def _deployer(self) -> Account:
        """The pipeline; a person, where its repository is another one now."""
        try:
            return Pipeline(self.account).enter(self._job)
        except ClientError as refused:
            if refused.response["Error"]["Code"] != "AccessDenied":
                raise
            return self.account

    def step_by_step(self, wanted: Version) -> None:
        """Follows `infra change next` until no step is left. Raises `CdkFailed` and boto3's errors."""
        done: list[str] = []
        while left := steps(NAME, "daadaar", self.now(wanted), wanted.templates, self.account):
            command = left[0].command
            assert command not in done, f"{command}, once more"
            done.append(command)
            self.taken.append(left[0].step.split()[0])
            said = command.split()
            if said[0] == "aws":
                cloudformation = self.account.client("cloudformation")
                cloudformation.delete_stack(StackName=said[4])
                cloudformation.get_waiter("stack_delete_complete").wait(StackName=said[4], WaiterConfig={"Delay": 1})
            elif said[0] == "./infra":
                self._releases += 1
                service = said[said.index("--service") + 1]
                release(self.account, push(self.account, service, f"step-{self._releases}", program=LONE), service)
            else:
                self.deploy(wanted, *(said[said.index("--exclusively") + 1 :] if said[0] == "npx" else ()))

    def release_until_blue_serves(self, wanted: Version, found: Sequence[Effect]) -> None:
        """Releases, as doctor demands for a frozen rule, to move traffic to the other target group (docs/adr/0004)."""
        messages = [each.where for each in self.doctor(wanted, found) if each.fix.startswith("release until blue")]
        for service in {stack.split("-", 2)[2] for stack in messages} & self.deployed.environment.services.keys():
            self._releases += 1
            program = None if service == self.account.main else LONE
            version = f"another-{self._releases}"
            release(self.account, push(self.account, service, version, program=program), service)

    def release_what_answers(self, wanted: Version) -> None:
        """Releases images that answer the old and the new health path, as the refusal demands."""
        for name, each in wanted.environment.services.items():
            was = self.deployed.environment.services.get(name)
            if was is not None and each.health_path not in (None, was.health_path):
                line = f"\npaths[{json.dumps(each.health_path)}] ??= async () => ({{ alive: true }})\n"

                def answers(folder: Path, line: str = line) -> None:
                    with (folder / "contract.mjs").open("a") as file:
                        file.write(line)

                self._releases += 1
                image = push(self.account, name, f"answers-{self._releases}", fault=answers)
                release(self.account, image, name)

    def go(self, wanted: Version) -> tuple[DeploymentOutcome, list[Finding], list[str]]:
        """Deploys it; after a refusal because of a health path once more, when the image answers it."""
        outcome, stopped, differ = self._go(wanted)
        self.wrong_order = None
        if outcome.refusal and "running tasks do not answer" in outcome.refusal and not differ:
            self.wrong_order = outcome
            self.release_what_answers(wanted)
            outcome, stopped, differ = self._go(wanted)
            if outcome.refusal:
                differ.append(f"refused, and the image answers: {outcome.refusal}")
        return outcome, stopped, differ

    def _go(self, wanted: Version) -> tuple[DeploymentOutcome, list[Finding], list[str]]:
        """Deploys it, in steps if it takes some, acknowledged and against doctor.

        What happened, why doctor would have stopped it, and where these and the prediction disagree.
        """
        before, self.taken = self.now(wanted), []
        found = effects(before, wanted.templates)
        in_steps = any(each.kind in ("in-use", "left-behind") for each in found)
        is_impossible = any(each.severity is Impact.IMPOSSIBLE for each in found)
        if any(each.kind == "weights" for each in found) and not is_impossible:
            self.release_until_blue_serves(wanted, found)
        stopped = self.doctor(wanted, found)
        with watched(self.account) as outcome:
            try:
                if in_steps and not is_impossible:
                    self.step_by_step(wanted)
                else:
                    self.deploy(wanted)
            except (CdkFailed, ClientError) as refused:
                outcome.refusal = " ".join(str(refused).split())[-1500:]
        differ = disagreements(before, wanted.templates, outcome)
        # What an image has inside is nothing that doctor sees.
        if outcome.refusal and not stopped and all(each.kind not in ("health", "image", "seed") for each in found):
            differ.append("refused, and doctor lets it pass")
        if stopped and not outcome.refusal and not in_steps:
            differ.append(f"doctor stops what CloudFormation takes: {stopped[0].where} {stopped[0].what}")
        if is_impossible and not stopped:
            differ.append("impossible, and doctor lets it pass")
        return outcome, stopped, differ


def synthesized(raw: Mapping[str, Any], context: Mapping[str, Any], folder: Path) -> Version:
    import aws_cdk as cdk

    import app

    shutil.copytree(ENVIRONMENTS, folder)
    edits.written(raw, folder / f"{NAME}.toml")
    loaded = load([NAME], directory=folder)
    root = cdk.App(context=dict(context), outdir=str(folder / "cdk.out"))
    app.build(root, loaded)
    root.synth()
    (nested,) = (folder / "cdk.out").glob("assembly-*")
    return Version(raw, loaded[NAME], folder / "cdk.out", dict(read(nested)), place(nested))


@pytest.fixture(scope="module")
def bench(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("edits")
    with ExitStack() as around:
        yield Bench(folder, context, synthesized(base(), context, folder / "base"), around)


def deployed(first: Version, folder: Path, around: ExitStack) -> Account:
    """Deploys the first version, with a release that serves users, and rows."""
    account = around.enter_context(opened(NAME, first.environment, folder))
    account.cdk.bootstrap(first.assembly)
    account.prepare()
    _store_further_secrets(account)
    account.cdk.deploy(first.assembly, f"{NAME}/*")
    first_release(account)
    return account


def _store_further_secrets(account: Account) -> None:
    """Creates resources that some edits refer to, as a person would before."""
    manager = account.client("secretsmanager")

    def stored(name: str) -> str:
        return str(manager.get_secret_value(SecretId=name)["SecretString"])

    further = {
        "daadaar/other-token": stored(account.environment.cloudflare.token_secret),
        "daadaar/upstas1": stored("daadaar/upstash"),
        "daadaar/redis-ur1": stored("daadaar/redis-url"),
        "daadaar/jwt": "stored",
        "daadaar/github-token": "what-stands-for-the-token-of-amplify-here",
        "other": '{"routing_key": "0123456789abcdef0123456789abcdef"}',
    }
    for name, value in further.items():
        manager.create_secret(Name=name, SecretString=value)


@pytest.mark.parametrize("edit", chosen(), ids=str)
def test_predictions_for_an_edit_match_its_deployment(edit: Edit, bench: Bench) -> None:
    try:
        wrong = one(edit, bench)
    except Exception as error:
        bench.row(edit, "", "", "", "", f"**no**: {type(error).__name__}: {error}"[:300].replace("\n", " "))
        if bench.now(bench.deployed) != bench.deployed.templates:
            bench.begin_anew()
        raise
    assert wrong == []


def one(edit: Edit, bench: Bench) -> list[str]:
    raw = edit.raw if edit.how == "amplify" else edit.over(bench.deployed.raw)
    try:
        wanted = bench.version(raw)
    except InvalidEnvironments as refused:
        assert all(each.expected for each in refused.problems)
        bench.row(edit, "the file is refused", "", "", "", "yes")
        return []
    if wanted.place != bench.deployed.place:
        was, is_ = ({NAME: Synthesized(each.place, each.templates)} for each in (bench.deployed, wanted))
        value = of_both("title", was, is_, []).open
        bench.row(edit, f"dangerous: {value[0]}", "another account or region", "not deployed", "", "yes")
        return [] if value else ["review says nothing of a second environment"]
    before = bench.now(wanted)
    found = effects(before, wanted.templates)
    review, open_ = _of_review(found), bench.doctor(wanted)
    # Edits of the account, the zone or a secret, or a second environment: no deployment continues from here.
    elsewhere = [each for each in open_ if each.where not in before]
    if elsewhere or any(each.kind == "renamed" for each in found):
        wrong = [] if open_ else ["it begins a second environment, and doctor lets it pass"]
        bench.row(edit, review, _of_doctor(open_, elsewhere or open_), "refused by the gate", "", _agree(wrong))
        return wrong
    outcome, stopped, wrong = bench.go(wanted)
    there, back, home = _of_outcome(outcome, bench.taken), "", bench.deployed
    if bench.wrong_order is not None:
        there = f"{_of_outcome(bench.wrong_order)}; released, then {there}"
    if bench.now(home) != home.templates:
        returned, stopped_back, differ = bench.go(home)
        wrong += [f"back: {each}" for each in differ]
        back = _of_outcome(returned, bench.taken)
        if returned.refusal and stopped_back:
            bench.deployed = wanted  # As predicted, it cannot be rolled back.
            bench.deploy(wanted)
        elif bench.now(home) != home.templates:
            wrong.append("it is not as before")
            bench.begin_anew()
    if any(each not in AT_REST for each in bench.account.stacks().values()):
        bench.begin_anew()  # the rollback of what was impossible has failed
    bench.row(edit, review, _of_doctor(open_, stopped), there, back, _agree(wrong))
    return wrong


def _agree(wrong: Sequence[str]) -> str:
    return "yes" if not wrong else "**no**: " + "; ".join(wrong)


def _of_review(found: Sequence[Effect]) -> str:
    if not found:
        return "nothing changes"
    severity = max(each.severity for each in found)
    worst = [each for each in found if each.severity is severity]
    kinds = ", ".join(dict.fromkeys(each.kind for each in worst))
    return f"{severity.name.lower()}: {kinds}" if severity else "safe"


def _of_doctor(open_: Sequence[Finding], stopped: Sequence[Finding]) -> str:
    if stopped:
        return f"stops: {stopped[0].what}"[:90]
    return f"{len(open_)} to acknowledge" if open_ else "nothing stops it"


def _of_outcome(outcome: DeploymentOutcome, taken: Sequence[str] = ()) -> str:
    lost = f"{len(outcome.failures)} of {outcome.requests} lost"
    counts = f"{len(outcome.replaced)} replaced, {len(outcome.created)} new, {len(outcome.removed)} gone"
    in_steps = f" ({', '.join(taken)})" if taken else ""
    return f"{'refused; ' if outcome.refusal else ''}{lost}; {counts}{in_steps}"
