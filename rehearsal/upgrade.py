"""Upgrades what another commit has deployed to this working tree, with data and under traffic."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from config import ENVIRONMENTS, load
from ops.effects.rules.replaced import DATA
from ops.review import tree_of
from ops.templates import ROOT, assemble, read
from rehearsal import permissions
from rehearsal.account import Account, opened
from rehearsal.checks.releases import first_release, place_of
from rehearsal.lifecycle import WORKSPACES
from rehearsal.outcome import DeploymentOutcome, disagreements, watched
from rehearsal.pipeline import DEPLOY, Pipeline
from rehearsal.progress import Progress

_OBJECT = {"Key": "rehearsed/before-the-upgrade", "Body": b"uploaded before"}


def upgrade(name: str, base: str, progress: Progress) -> None:
    """Leaves logs and both cloud assemblies in build/rehearsal/NAME, and no process.

    Raises `InputError` when there is no such commit, `OperatorError` when it cannot be synthesized.
    """
    environment = load([name], directory=ENVIRONMENTS)[name]
    workspace = WORKSPACES / name
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir(parents=True)
    progress.title(f"{name}: from {base} to this working tree")
    before, after = workspace / "before", workspace / "after"
    with progress.step("synthesize both"), tree_of(base) as tree, ThreadPoolExecutor() as both:
        if not (tree / "environments" / f"{name}.toml").exists():
            progress.said(f"{base} has no {name}: there is nothing to upgrade")
            return
        list(both.map(assemble, (tree, ROOT), (before, after), repeat({"env": name, "deployed": "yes"})))
    with opened(name, environment, workspace) as account:
        with progress.step("bootstrap the account"):
            account.cdk.bootstrap(before)
        account.prepare()
        _Upgrade(account, progress).play(before, after)


@dataclass(frozen=True)
class _Upgrade:
    account: Account
    progress: Progress

    def play(self, before: Path, after: Path) -> None:
        with self.progress.step("deploy what the other commit has"), self.progress.stacks(self.account):
            self._deploy(self.account, before)
        with self.progress.step("release, and store something"):
            image = first_release(self.account)
            self.account.client("s3").put_object(Bucket=self.account.environment.media.bucket, **_OBJECT)
        with (
            self.progress.step("deploy this code, under traffic"),
            self.progress.stacks(self.account),
            watched(self.account) as outcome,
        ):
            self._deploy(Pipeline(self.account).runs(DEPLOY), after)
        self._compare(outcome)
        self._predicted(before, after, outcome)
        self.progress.check("The release stays", place_of(self.account).image() == image, image)
        denied = permissions.denied(self.account.cdk.workspace)
        self.progress.check(
            "Roles have the permissions that they use", not denied, denied[0] if denied else "none was denied"
        )

    def _deploy(self, account: Account, assembly: Path) -> None:
        account.cdk.deploy(assembly, f"{account.name}/*")

    def _compare(self, outcome: DeploymentOutcome) -> None:
        lost = outcome.failures
        self.progress.check(
            "No request is lost", not lost, f"{len(lost)} of {outcome.requests} requests failed {lost[:3] or ''}"
        )
        self.progress.check(
            "No row is lost",
            bool(outcome.rows) and not outcome.rows_lost,
            f"{outcome.rows_lost} of {outcome.rows} are missing",
        )
        holding = {key for key, each in outcome.before.items() if each.type in DATA}
        others = ["/".join(key) for key in sorted(holding & (outcome.replaced | outcome.removed))]
        self.progress.check(
            "What holds data is as it was",
            not others,
            f"replaced or removed: {', '.join(others)}" if others else f"{len(holding)} resources, none replaced",
        )
        media = {"Bucket": self.account.environment.media.bucket, "Key": _OBJECT["Key"]}
        found = self.account.client("s3").get_object(**media)["Body"].read()
        self.progress.check("Media is as it was", found == _OBJECT["Body"], f"{len(found)} bytes of {media['Key']}")

    def _predicted(self, before: Path, after: Path, outcome: DeploymentOutcome) -> None:
        was, is_ = (dict(read(each / f"assembly-{self.account.name}")) for each in (before, after))
        wrong = disagreements(was, is_, outcome)
        text = "; ".join(wrong) or f"{len(outcome.replaced)} resources replaced, as predicted"
        self.progress.check("The effects are those that were predicted", not wrong, text)
