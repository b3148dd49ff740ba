"""The whole life of one environment: deploy, read back, no-op, update, failing update, refused destroy, destroy."""

import json
import re
import shlex
import shutil
import sys
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from config import ENVIRONMENTS, Environment, load, services
from ops import explain
from ops.amplify import DeployedAmplifySite
from ops.templates import LINES_PROGRAM, read, with_lines
from rehearsal import permissions
from rehearsal.account import Account, main_service, opened
from rehearsal.cdk_cli import CdkCli, CdkFailed
from rehearsal.checks import CheckResult, quarantine, read_back
from rehearsal.first_day import FirstDay
from rehearsal.lint import Lint
from rehearsal.outcome import disagreements, watched
from rehearsal.pipeline import DEPLOY, DRIFT, Pipeline
from rehearsal.progress import Progress
from rehearsal.traffic import traffic
from rehearsal.variants import with_bake_minutes, with_branch
from simulators.aws.conditions import Condition
from simulators.aws.process import ROOT
from simulators.cloudflare.foreign import inventory
from simulators.upstash.simulator import somebody_elses

WORKSPACES = ROOT / "build" / "rehearsal"
# Secrets Manager ends the ARN of each secret with six characters of its own.
_A_WHOLE_ARN = re.compile(r"-[A-Za-z0-9]{6}$")
_BRANCH = "rehearsed"
_WARM_SECONDS = 1.0
# File that declares the failing service.
_OUR_SERVICE = "constructs/infra_constructs/service.py:"
_REASON_TO_FAIL = "rehearsal: the service did not reach a steady state"


@dataclass(frozen=True)
class RehearsalOutcome:
    findings: list[CheckResult]
    failures: list[str]


def live(
    name: str, progress: Progress, *, environments: Path = ENVIRONMENTS, without: Collection[Condition] = ()
) -> RehearsalOutcome:
    """Runs the whole lifecycle. Leaves logs and the cloud assembly in build/rehearsal/NAME, and no process."""
    environment = load([name], directory=environments)[name]
    service = main_service(environment)
    workspace = WORKSPACES / name
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir(parents=True)
    progress.title(f"{name}: account {environment.aws.account}, {environment.aws.region}")
    # Work that needs no account runs in parallel: in sequence, a second processor would be idle.
    with ThreadPoolExecutor() as executor:
        offline = CdkCli(environment.aws.account, environment.aws.region, workspace)
        synthesis = executor.submit(_synthesize, offline, name, environments, workspace / "cdk.out")
        minutes = _other_minutes(environment)
        files = with_bake_minutes(environments, name, service, minutes, into=workspace / "environments-edited")
        for site in _on_amplify(environment):
            files = with_branch(files, name, site, _BRANCH, into=workspace / f"environments-{site}")
        with opened(name, environment, workspace, without=without) as account:
            with progress.step("synthesize, with CDK's strict validation and cdk-nag"):
                assembly = synthesis.result()
            # Not validated: it differs from the validated templates in one number.
            edited = executor.submit(_synthesize_with_lines, offline, name, files, workspace / "cdk.out-edited")
            linting = Lint(assembly, region=environment.aws.region)
            first_day = FirstDay(account, assembly, progress)
            first_day.gaps_are_reported()
            with progress.step("bootstrap the account"):
                account.cdk.bootstrap(assembly)
            account.prepare()
            first_day.nothing_is_left()
            findings = _Rehearsal(account, assembly, edited, progress, linting).run()
    return RehearsalOutcome(findings, progress.failures)


def _synthesize(cdk: CdkCli, name: str, environments: Path, output: Path, *more: str, validated: bool = True) -> Path:
    options = ("--context", f"env={name}", "--context", f"environments={environments}", "--output", str(output))
    cdk.run("synth", "--quiet", *options, *more, validated=validated)
    return output


def _synthesize_with_lines(cdk: CdkCli, name: str, environments: Path, output: Path) -> Path:
    """Synthesizes and records the lines of our code that create each construct, for `infra explain`."""
    program = shlex.join([sys.executable, "-O", LINES_PROGRAM])
    return _synthesize(cdk, name, environments, output, "--app", program, validated=False)


def _on_amplify(environment: Environment) -> list[str]:
    return [name for name, each in environment.services.items() if each.amplify is not None]


def _other_minutes(environment: Environment) -> int:
    """Another bake time for the main service, within config/model.py's 5 to 1440 minutes."""
    own = environment.services[main_service(environment)].bake_minutes
    return own + 1 if own < 1440 else own - 1


@dataclass(frozen=True)
class _Rehearsal:
    account: Account
    assembly: Path
    edited: Future[Path]
    """An assembly of the same environment with one line of its file changed, as an operator would."""
    progress: Progress
    linting: Lint

    def run(self) -> list[CheckResult]:
        before = inventory(self.account.cloudflare.world)
        with self.progress.step("deploy every stack, and lint the templates"), self.progress.stacks(self.account):
            self._deploy(self.assembly)
            self.linting.result()
        with self.progress.step("read back what was deployed"):
            findings = list(read_back(self.account, done=self.progress.read))
        self.progress.table(findings)
        with self.progress.step("deploy again, nothing changed"):
            self._nothing_changes()
        with self.progress.step("update: another bake time for the API"), self.progress.stacks(self.account):
            self._update()
        with self.progress.step("an update that fails"), self.progress.stacks(self.account):
            self._failing_update()
        if self.account.cdk.access_key is not None:  # Without IAM, there are no roles.
            self._permissions()
        with self.progress.step("destroy"), self.progress.stacks(self.account):
            self._destroy()
        self._zone_is_as_before(before)
        if self.account.upstash.calls:
            self._upstash_is_as_before()
        return findings

    def _deploy(self, assembly: Path, stacks: str = "*", *options: str) -> str:
        return self.account.cdk.deploy(assembly, f"{self.account.name}/{stacks}", options=options)

    def _nested(self, assembly: Path) -> Path:
        return assembly / f"assembly-{self.account.name}"

    def _nothing_changes(self) -> None:
        """The pipeline deploys the same templates again: its role assumes CDK's own."""
        before, asked = self._last_changes(), len(self.account.cloudflare.calls)
        workflow = Pipeline(self.account).runs(DEPLOY)
        first_day = FirstDay(workflow, self.assembly, self.progress)
        first_day.nothing_stops_the_pipeline()
        approved = FirstDay(Pipeline(self.account).runs(DRIFT), self.assembly, self.progress).plan()
        found = first_day.plan().plan
        text = f"planned {approved.plan} with the role for drift, found {found} before the deployment"
        self.progress.check(
            "The deployment matches the approved plan", found == approved.plan and not approved.open, text
        )
        replace(self, account=workflow)._deploy(self.assembly)
        touched = [name for name, when in self._last_changes().items() if when != before[name]]
        touched += [f"{call.method} {call.path}" for call in self.account.cloudflare.calls[asked:] if call.is_write]
        self.progress.check("No-op deploy", not touched, f"touched {', '.join(touched) or 'nothing'}")

    def _last_changes(self) -> dict[str, str]:
        events = {}
        for name in self.account.stacks():
            newest = self.account.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
            events[name] = max(str(event["Timestamp"]) for event in newest)
        return events

    def _bake_minutes(self) -> int:
        deployment = self.account.service(self.account.main)["deploymentConfiguration"]
        return int(deployment["bakeTimeInMinutes"])

    def _update(self) -> None:
        before, wanted = self._bake_minutes(), _other_minutes(self.account.environment)
        was, stack = dict(read(self._nested(self.assembly))), self.account.stack_name(self.account.main)
        is_ = {**was, stack: dict(read(self._nested(self.edited.result())))[stack]}
        with traffic(self.account).flowing():
            # A task's pool may still have a connection that an earlier check has ended: one request finds out.
            time.sleep(_WARM_SECONDS)
        with watched(self.account) as outcome:
            self._deploy(self.edited.result(), services.words(self.account.main), "--exclusively")
        wrong = disagreements(was, is_, outcome)
        text = f"{outcome.requests} requests, none lost; {len(outcome.replaced)} resources replaced, as predicted"
        self.progress.check("The update has the effects that were predicted", not wrong, "; ".join(wrong) or text)
        found = self._bake_minutes()
        self.progress.check("Update", found == wanted != before, f"the API now bakes {found} minutes, {before} before")
        for site in _on_amplify(self.account.environment):
            self._change_branch(site)

    def _change_branch(self, site: str) -> None:
        self._deploy(self.edited.result(), services.words(f"{site}{services.ON_AMPLIFY}"), "--exclusively")
        hosted = DeployedAmplifySite(self.account.name, self.account.environment, site, self.account)
        domain, builds = hosted.domain(), hosted.builds()
        (served,) = (each["subDomainSetting"]["branchName"] for each in domain["subDomains"])
        self.progress.check(
            "Another branch on Amplify",
            served == _BRANCH and len(builds) == 1,
            f"{domain['domainName']} leads to {served}, {domain['domainStatus']}; builds of it: {len(builds)}",
        )

    def _failing_update(self) -> None:
        before = self._bake_minutes()
        self.account.emulator.faults.write_text(json.dumps({"AWS::ECS::Service": _REASON_TO_FAIL}))
        try:
            # With the file from before the edit.
            self._deploy(self.assembly, services.words(self.account.main), "--exclusively")
        except CdkFailed as failed:
            is_named = _REASON_TO_FAIL in failed.output
            self.progress.check(
                "A failing update is reported",
                is_named,
                "cdk deploy failed, with the reason" if is_named else str(failed),
            )
        else:
            self.progress.check("A failing update is reported", False, "cdk deploy reported success")
        self._is_explained()
        status, found = self.account.stacks()[self.account.stack_name(self.account.main)], self._bake_minutes()
        whole = status == "UPDATE_ROLLBACK_COMPLETE" and found == before
        self.progress.check("It rolls back", whole, f"{status}; the API bakes {found} minutes, {before} before")

    def _is_explained(self) -> None:
        """Checks what `infra explain` prints, without its second synthesis."""
        failed = explain.failures(self.account.name, self.account.environment, self.account)
        found = explain.located(failed, *with_lines(self.edited.result(), self.account.name))
        # Other stacks may have failed before, in releases that were meant to fail.
        own = [each for each in found if each.stack == self.account.stack_name(self.account.main)]
        text = "; ".join(f"{each.resource}: {each.reason}, at {', by '.join(each.lines) or 'no line'}" for each in own)
        held = [each.reason for each in own] == [_REASON_TO_FAIL] and f"at {_OUR_SERVICE}" in text
        self.progress.check("infra explain names its cause and our line", held, text or "it says that nothing failed")

    def _permissions(self) -> None:
        self.progress.said(permissions.report(self.account))
        # Before the destroy: a stack that is being deleted loses policies before functions that still run.
        denied = [each for each in permissions.denied(self.account.cdk.workspace) if not _is_meant(each)]
        self.progress.check(
            "Roles and AWS's services have the permissions that they use",
            not denied,
            denied[0] if denied else "none was denied",
        )

    def _destroy(self) -> None:
        if self.account.environment.protection.data == "keep":
            self._refused_destroy()
        self._lift_protections()
        database = self.account.resource("Data", "AWS::RDS::DBInstance")
        # An empty bucket is easily deleted; one that was used has something in it.
        self.account.client("s3").put_object(Bucket=self.account.environment.media.bucket, Key="a.avif", Body=b"a")
        self.account.cdk.run("destroy", f"{self.account.name}/*", "--app", str(self.assembly), "--force")
        left = self.account.stacks()
        self.progress.check("Destroy", not left, "no stack is left" if not left else f"left: {', '.join(left)}")
        self._survivors(database)

    def _refused_destroy(self) -> None:
        try:
            self.account.cdk.run(
                "destroy", f"{self.account.name}/Data", "--app", str(self.assembly), "--force", "--exclusively"
            )
        except CdkFailed as failed:
            refused = "TerminationProtection" in failed.output or "termination protection" in failed.output.lower()
            self.progress.check("A destroy is refused", refused, "the stack is protected" if refused else str(failed))
        else:
            self.progress.check("A destroy is refused", False, "the data stack was destroyed")

    def _lift_protections(self) -> None:
        """Follows docs/runbooks/decommission.md."""
        cloudformation = self.account.client("cloudformation")
        for name in self.account.stacks():
            cloudformation.update_termination_protection(StackName=name, EnableTerminationProtection=False)
        self.account.client("rds").modify_db_instance(
            DBInstanceIdentifier=self.account.resource("Data", "AWS::RDS::DBInstance"),
            DeletionProtection=False,
            ApplyImmediately=True,
        )
        self.account.client("elbv2").modify_load_balancer_attributes(
            LoadBalancerArn=self.account.resource("Platform", "AWS::ElasticLoadBalancingV2::LoadBalancer"),
            Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}],
        )

    def _survivors(self, database: str) -> None:
        is_kept = self.account.environment.protection.data == "keep"
        snapshots = self.account.client("rds").describe_db_snapshots()["DBSnapshots"]
        has_snapshot = any(each["DBInstanceIdentifier"] == database for each in snapshots)
        buckets = {each["Name"] for each in self.account.client("s3").list_buckets()["Buckets"]}
        has_bucket = self.account.environment.media.bucket in buckets
        expectation = "survive" if is_kept else "are gone, as the environment says"
        there = {True: "is there", False: "is not there"}
        found = f"snapshot {there[has_snapshot]}, bucket {there[has_bucket]}"
        self.progress.check(
            f"Database snapshot and media bucket {expectation}",
            (has_snapshot, has_bucket) == (is_kept, is_kept),
            found,
        )

    def _upstash_is_as_before(self) -> None:
        left = list(self.account.upstash.databases.values())
        self.progress.check(
            "The account at Upstash is as it was before us",
            left == [somebody_elses()],
            f"{len(self.account.upstash.calls)} requests; left: {', '.join(each['database_name'] for each in left)}",
        )

    def _zone_is_as_before(self, before: dict[str, object]) -> None:
        """Rules, records and lists of others, and every setting that we have overwritten."""
        after = inventory(self.account.cloudflare.world)
        changed = [name for name in {*before, *after} if before.get(name) != after.get(name)]
        found = (
            f"changed: {', '.join(changed)}" if changed else f"{len(before)} kinds of objects and settings, as found"
        )
        self.progress.check("The Cloudflare zone is as it was before us", not changed, found)
        violations = self.account.cloudflare.violations
        self.progress.check(
            "Every request to Cloudflare kept to its contract",
            not violations,
            violations[0]
            if violations
            else f"{len(self.account.cloudflare.calls)} requests, checked against the SDK's types",
        )


def _is_meant(denial: str) -> bool:
    """The deploy role reads no secret, though doctor asks. A secret that is missing has no ARN that a policy allows.
    A check tries to read an upload in quarantine.
    """
    of_doctor = "-DeployRole" in denial and " may not secretsmanager:GetSecretValue " in denial
    is_missing = " may not secretsmanager:DescribeSecret " in denial and not _A_WHOLE_ARN.search(denial)
    is_quarantined = "/operator may not s3:GetObject " in denial and denial.endswith(quarantine.TRIED)
    return of_doctor or is_missing or is_quarantined
