"""Begins releases, and records how they end. The only function that a pipeline's role may call.

CloudFormation lets a caller who may update a stack give it another template, and with that everything that the stack's
role may do. So only this function updates it, and it changes only one parameter.
"""

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from infra_runtime import aws
from infra_runtime.caller import NotProven, who
from infra_runtime.contract.database_names import OWNER
from infra_runtime.contract.metrics import RELEASES, ReleaseMetric, emit
from infra_runtime.contract.releases import RELEASED_TAG, STACK_ENDS
from infra_runtime.contract.revision import started_by
from infra_runtime.contract.secret_values import deadline_of
from infra_runtime.release.ledger import Ledger, Outcome, Release, new_id
from infra_runtime.release.order import run_of, why_older
from infra_runtime.release.postgres_errors import refusals
from infra_runtime.release.preflight import (
    Kind,
    ReleasedService,
    ReleasePreflight,
    ReleaseProblem,
    deployments,
    image_in,
    services_of,
    stack_of,
    under_way,
)
from infra_runtime.release.rollback import CannotGoBack, choose, holding, lost_since
from infra_runtime.release.rollback_reasons import quoted, rollback_reason
from infra_runtime.release.sentry import sentry_from, version_of
from infra_runtime.release.stack_update import NEVER_BEGUN, end_of
from infra_runtime.reporting import reported

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_LONGEST_NOTE = 1000
_MOST_REFUSALS = 3
_RECENTLY = timedelta(hours=1)
# What docker and buildx push: an image, or an index of several.
_MANIFESTS = [
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.manifest.v1",
        "oci.image.index.v1",
        "docker.distribution.manifest.v2",
        "docker.distribution.manifest.list.v2",
    )
]
_LOST = "repair it by a migration and release forward, or say --accept-schema when it does not matter"


@reported
def handler(event: Mapping[str, Any], context: Any) -> Any:
    """{"action": …} of `infra` or a pipeline, as `ReleaseControl.asked` takes it; or CloudFormation's change of status.

    Such an event is only a trigger, as every caller of this function could send one. How a release has ended is read
    from CloudFormation.
    """
    service = ReleasedService(
        name=os.environ["SERVICE"],
        stack=os.environ["STACK"],
        parameter=os.environ["PARAMETER"],
        repository=os.environ["REPOSITORY"],
        platform=os.environ["PLATFORM"],
        secrets=tuple(json.loads(os.environ["SECRETS"])),
        database=os.environ.get("DATABASE"),
    )
    ledger = Ledger(aws.client("dynamodb"), os.environ["LEDGER"])
    control = ReleaseControl(aws, ledger, service, database_log=os.environ.get("DATABASE_LOG"))
    if (ended := control.settle()) is not None:
        _report(ended, context)
    if "detail" in event:
        control.expect(event["detail"])
        return None
    if event.get("action") == "check":
        return control.asked(event)
    try:
        found = who(event, sts=aws.client("sts"), function=context.function_name)
    except NotProven as error:
        return {
            "problems": [asdict(ReleaseProblem("caller", str(error), "use `infra`, with credentials of this account"))]
        }
    return control.asked({**event, "who": found})


def _report(ended: Release, context: Any) -> None:
    name = ReleaseMetric.SUCCEEDED if ended.outcome == "succeeded" else ReleaseMetric.FAILED
    dimensions = {"Environment": os.environ["ENVIRONMENT"], "Service": ended.service}
    emit(RELEASES, dimensions, {name.value: 1}, id=ended.id)
    if ended.outcome == "succeeded" and "SENTRY" in os.environ:
        _tell_sentry(ended, deadline_of(context))


def _tell_sentry(release: Release, deadline: float) -> None:
    """Raises nothing: the release has already succeeded."""
    document = json.loads(os.environ["SENTRY"])
    try:
        secret = aws.client("secretsmanager").get_secret_value(SecretId=document["token_secret"])["SecretString"]
        sentry = sentry_from(secret, organization=document["organization"], deadline=deadline)
        tags = _tags(release) if document["named_by"] == "tag" else ()
        version = version_of(release.service, release.image, tags)
        sentry.deployed(release, version=version, project=document["project"], environment=document["environment"])
        logger.info("%s: Sentry knows of %s as %s", release.service, release.id, version)
    except Exception:  # of Sentry, of any kind
        logger.exception("%s: Sentry did not get the release %s", release.service, release.id)


def _tags(release: Release) -> Sequence[str]:
    """Tags of its image, if ECR still has it."""
    platform = os.environ["PLATFORM"]
    found = image_in(aws, release.service, os.environ["REPOSITORY"], release.image, platform=platform)
    return () if isinstance(found, ReleaseProblem) else found.get("imageTags", ())


def _by(event: Mapping[str, Any]) -> str:
    """Who stopped the release and why, for the ledger."""
    note = f": {event['note']}" if event.get("note") else ""
    return f"stopped by {event['who']}{note}"[:_LONGEST_NOTE]


def _just_failed(releases: Sequence[Release]) -> Release | None:
    """The newest one, if it went back within the hour: to ask for more then is likely a mistake."""
    last = releases[0] if releases else None
    if last is None or last.outcome != "failed" or last.ended is None:
        return None
    return last if datetime.now(UTC) - datetime.fromisoformat(last.ended) < _RECENTLY else None


class NotYet(Exception):
    """CloudFormation announced the end of an update that it does not show yet. Lambda tries this event again."""


@dataclass(frozen=True)
class ReleaseControl:
    """Every rule of a release is checked here: a check in the caller would not bind other callers."""

    clients: Any
    """Has `client(service)`, like `infra_runtime.aws`."""
    ledger: Ledger
    service: ReleasedService
    database_log: str | None = None
    """Name of the log group of PostgreSQL's own log; None for a service without a database."""

    def asked(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """{"problems": …}, and when there are none {"id": …} of the release that it is about. Raises `ValueError`."""
        match event.get("action"):
            case "check":
                return self._answer(self._objections(event))
            case "release":
                problems = self._objections(event)
                return self._answer(problems) if problems else self._start(event, event["image"], "release")
            case "rollback":
                return self._rollback(event)
            case "resume":
                return self._resume(event)
            case action:
                raise ValueError(f"action {action!r}: expected check, release, rollback or resume")

    @staticmethod
    def _answer(problems: list[ReleaseProblem], **more: Any) -> dict[str, Any]:
        return {"problems": [asdict(each) for each in problems], **more}

    # -- how a release ends

    def settle(self) -> Release | None:
        """The release that has ended since the last call, as the ledger now has it."""
        if (release := self.ledger.running(self.service.name)) is None:
            return None
        began = datetime.fromisoformat(release.began)
        status = end_of(self.clients, self.service.stack, token=release.id, began=began)
        if status is None:
            return None
        if status == "UPDATE_COMPLETE":
            is_first = self._end(release, "succeeded", None)
        else:
            reason = status if status == NEVER_BEGUN else self._why(release) or status
            is_first = self._end(release, "failed", reason)
        return self.ledger.find(self.service.name, release.id) if is_first else None

    def expect(self, detail: Mapping[str, Any]) -> None:
        """Raises `NotYet` when the end of the release's update is announced and CloudFormation does not show it."""
        release = self.ledger.running(self.service.name)
        if release is None or detail["status-details"]["status"] not in STACK_ENDS:
            return
        # After a failure the announcement may lack the token; one with another token is of an earlier update.
        if detail.get("client-request-token") in (None, "", release.id):
            raise NotYet(f"{release.id}: {self.service.stack} does not show its end yet")

    def _why(self, release: Release) -> str | None:
        """What the next person needs to know, from the best source."""
        if release.stopped is not None:
            return release.stopped
        if "reason" in release.migration:
            refused = self._refused_by_the_database(release)
            facts = [
                str(release.migration["reason"]),
                *refused,
                *(f"INVALID index: {each}" for each in release.repairs),
            ]
            # A tool that says more than its exit code is the only one to know when PostgreSQL refused nothing.
            lines = [] if refused else release.migration.get("lines", [])
            return f"migration: {'; '.join(facts)}{quoted(lines)}"
        if release.complaints:
            return "; ".join(release.complaints)
        began = datetime.fromisoformat(release.began)
        return rollback_reason(self.clients, self.service.stack, since=began)

    def _refused_by_the_database(self, release: Release) -> list[str]:
        if self.database_log is None:
            return []
        logs, began = self.clients.client("logs"), datetime.fromisoformat(release.began)
        return refusals(logs, self.database_log, since=began, login=f"{OWNER}_")[-_MOST_REFUSALS:]

    # -- how one begins

    def _objections(self, event: Mapping[str, Any]) -> list[ReleaseProblem]:
        image, run = event["image"], run_of(event.get("run"))
        preflight = ReleasePreflight(self.clients, self.service)
        return [*self._busy(), *self._held(run), *self._older(image, run), *preflight.problems(image, "release")]

    def _held(self, run: str | None) -> list[ReleaseProblem]:
        """After a rollback a pipeline would bring the bad version back with the next commit. A person may release."""
        found = holding(self.ledger.releases(self.service.name)) if run is not None else None
        if found is None:
            return []
        what = f"pipelines wait since {found.id}: {found.stopped or f'rolled back by {found.who}'}"
        return [ReleaseProblem("rollback", what, f"infra release ENV --service {self.service.name} --resume")]

    def _resume(self, event: Mapping[str, Any]) -> dict[str, Any]:
        # A claim, like all that a caller says of itself: this keeps a workflow from doing it by mistake.
        if event.get("run") is not None or event.get("acts_for") is not None:
            return self._answer(
                [ReleaseProblem("rollback", "a workflow may not resume its own releases", "a person does")]
            )
        found = holding(self.ledger.releases(self.service.name))
        if found is None:
            return self._answer([ReleaseProblem("rollback", "pipelines do not wait", "nothing")])
        self.ledger.resume(found, f"{event['who']}, {datetime.now(UTC).isoformat(timespec='seconds')}")
        return self._answer([], id=found.id)

    def _older(self, image: str, run: str | None) -> list[ReleaseProblem]:
        found = why_older(self.ledger.releases(self.service.name), image, run, self._image())
        return [] if found is None else [ReleaseProblem("order", *found)]

    def _busy(self) -> list[ReleaseProblem]:
        release = self.ledger.running(self.service.name)
        return [] if release is None else [self._under_way(release)]

    @staticmethod
    def _under_way(release: Release) -> ReleaseProblem:
        return ReleaseProblem(
            "release", f"{release.id} by {release.who} is under way", f"infra follow ENV {release.service}"
        )

    def _start(self, event: Mapping[str, Any], image: str, kind: Kind, **more: Any) -> dict[str, Any]:
        release = self._begun(event, image, kind)
        # Both were admitted at one moment: it is unknown which image CloudFormation would read from the parameter.
        if (other := self.ledger.running(self.service.name, beside=release.id)) is not None:
            when, reason = datetime.now(UTC).isoformat(timespec="seconds"), f"{other.id} began at the same moment"
            self.ledger.end(self.service.name, release.id, outcome="failed", when=when, reason=reason)
            return self._answer([self._under_way(other)])
        try:
            self._update(release)
        except ClientError as error:
            self._end(release, "failed", f"CloudFormation did not begin: {error}")
            return self._answer([ReleaseProblem("stack", str(error), "nothing was changed")])
        return self._answer([], id=release.id, **more)

    # -- the way back

    def _rollback(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Takes the fastest way that is safe now, and names it as `path`.

        - stopped: ECS ends the deployment that is under way and goes back to the tasks that still run; `stage` is
          where it was, `id` None when it was no release, `migration_stopped` whether one was running
        - going back: a person or ECS has begun that already; `id` as above
        - wait: neither can be done at this moment; ask again
        - over: the last release failed within the hour, so the version before it serves; `further` is the release
          before that one, None when there is none
        - release: what succeeded before is released, never another image
        """
        every = list(services_of(self.clients, self.service.stack))
        deployment = next((each for service in every for each in under_way(self.clients, service)), None)
        running = self.ledger.running(self.service.name)
        if event.get("release") is not None and (deployment is not None or running is not None):
            what = f"{deployment['serviceDeploymentArn'] if deployment else running and running.id} is under way"
            return self._answer([ReleaseProblem("deployment", what, "without RELEASE, infra rollback ENV ends it")])
        stack = stack_of(self.clients, self.service.stack)["StackStatus"]
        # CloudFormation may deploy once more, to go back itself.
        is_going_back = "ROLLBACK_IN_PROGRESS" in stack or (running is not None and running.kind == "rollback")
        if is_going_back or (deployment is not None and deployment["status"] not in ("PENDING", "IN_PROGRESS")):
            return self._answer([], path="going back", id=running.id if running else None)
        if deployment is not None:
            return self._stop(event, deployment, running)
        if running is not None:
            return self._not_now(event, running, every)
        return self._go_back(event)

    def _go_back(self, event: Mapping[str, Any]) -> dict[str, Any]:
        releases, wanted = self.ledger.releases(self.service.name), event.get("release")
        try:
            current, target = choose(releases, wanted, self._image())
        except CannotGoBack as error:
            if wanted is None and (last := _just_failed(releases)) is not None:
                return self._answer([], path="over", id=last.id, further=None)
            return self._answer([ReleaseProblem("release", str(error), "infra releases ENV")])
        if wanted is None and (last := _just_failed(releases)) is not None:
            return self._answer([], path="over", id=last.id, further=target.id)
        lost = [] if event.get("accept_schema") is True else lost_since(releases, target)
        problems = [ReleaseProblem("schema", f"{target.id} relies on {each}", _LOST) for each in lost]
        problems += ReleasePreflight(self.clients, self.service).problems(target.image, "rollback")
        if problems:
            return self._answer(problems)
        more = {"back_from": current.id, "back_to": target.id, "template_changed": current.template != target.template}
        noted = {**event, "note": event.get("note") or f"to {target.id}"}
        return self._start(noted, target.image, "rollback", path="release", **more)

    def _stop(self, event: Mapping[str, Any], deployment: Mapping[str, Any], running: Release | None) -> dict[str, Any]:
        arn, ecs = deployment["serviceDeploymentArn"], self.clients.client("ecs")
        (found,) = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
        if running is not None:
            self.ledger.stop(running, _by(event))
        try:
            ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
        except ClientError as error:
            if running is not None:
                self.ledger.stop(running, None)
            # It has ended since it was read (ECS API Reference, StopServiceDeployment).
            if error.response["Error"]["Code"] == "ConflictException":
                return self._answer([], path="wait", id=running.id if running else None)
            return self._answer([ReleaseProblem("deployment", str(error), "infra status ENV")])
        logger.info("%s: %s %s", self.service.name, arn, _by(event))
        more = {"id": running.id if running else None, "stage": found.get("lifecycleStage")}
        return self._answer([], path="stopped", stopped=arn, migration_stopped=self._stop_migration(found), **more)

    def _stop_migration(self, deployment: Mapping[str, Any]) -> bool:
        """Whether one was running: ECS no longer asks the hook about it, and it could hold its locks for an hour."""
        ecs, cluster = self.clients.client("ecs"), deployment["clusterArn"]
        name = started_by(deployment["serviceDeploymentArn"])
        try:
            pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, startedBy=name)
            arns = [arn for page in pages for arn in page["taskArns"]]
            for arn in arns:
                ecs.stop_task(cluster=cluster, task=arn, reason="infra: its release was stopped")
        except ClientError:
            # The deployment goes back all the same; the next release stops a migration that is late.
            logger.exception("%s: the migration of %s was not stopped", self.service.name, name)
            return False
        if arns:
            self.ledger.note(self.service.name, "migration", {"interrupted": True})
        return bool(arns)

    def _not_now(
        self, event: Mapping[str, Any], running: Release, every: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """ECS has not begun yet, or has ended while CloudFormation has not."""
        since, ecs = datetime.fromisoformat(running.began), self.clients.client("ecs")
        if not any(True for service in every for _ in deployments(ecs, service, createdAt={"after": since})):
            # The hooks read it: nothing migrates, and no user comes to the new tasks, however ECS hurries.
            self.ledger.stop(running, _by(event))
        return self._answer([], path="wait", id=running.id)

    def _image(self) -> str:
        found: str = self.clients.client("ssm").get_parameter(Name=self.service.parameter)["Parameter"]["Value"]
        return found

    def _begun(self, event: Mapping[str, Any], image: str, kind: Kind) -> Release:
        cloudformation = self.clients.client("cloudformation")
        now = datetime.now(UTC)
        body = cloudformation.get_template(StackName=self.service.stack)["TemplateBody"]
        text = body if isinstance(body, str) else json.dumps(body, sort_keys=True)
        release = Release(
            service=self.service.name,
            id=new_id(now, secrets.token_hex(3)),
            kind=kind,
            image=image,
            previous=self._image(),
            who=str(event["who"]),
            began=now.isoformat(timespec="seconds"),
            template=hashlib.sha256(text.encode()).hexdigest()[:16],
            note=str(event["note"])[:_LONGEST_NOTE] if event.get("note") else None,
            run=event.get("run") if kind == "release" else None,
        )
        self.ledger.begin(release)
        return release

    def _keep_image(self, release: Release) -> None:
        """Tags the image, so that later pushes do not let ECR expire it (infra_constructs.images)."""
        ecr, name = self.clients.client("ecr"), self.service.repository.partition("/")[2]
        wanted = [{"imageDigest": release.image.partition("@")[2]}]
        (found,) = ecr.batch_get_image(repositoryName=name, imageIds=wanted, acceptedMediaTypes=_MANIFESTS)["images"]
        ecr.put_image(
            repositoryName=name,
            imageManifest=found["imageManifest"],
            imageManifestMediaType=found["imageManifestMediaType"],
            imageTag=f"{RELEASED_TAG}{release.id}",
        )

    def _update(self, release: Release) -> None:
        self._keep_image(release)
        self._point(release.image)
        stack = stack_of(self.clients, self.service.stack)
        self.clients.client("cloudformation").update_stack(
            StackName=self.service.stack,
            UsePreviousTemplate=True,
            Parameters=[
                {"ParameterKey": each["ParameterKey"], "UsePreviousValue": True} for each in stack["Parameters"]
            ],
            Capabilities=stack.get("Capabilities", []),
            ClientRequestToken=release.id,
        )
        logger.info("%s: %s begins, %s", self.service.name, release.id, release.image)

    def _end(self, release: Release, outcome: Outcome, reason: str | None) -> bool:
        """False when it was written down before. A failed release leaves the parameter as it was before it: the next
        deployment must not try it again.
        """
        if outcome == "failed" and self._image() == release.image:
            self._point(release.previous)
        when = datetime.now(UTC).isoformat(timespec="seconds")
        is_first = self.ledger.end(self.service.name, release.id, outcome=outcome, when=when, reason=reason)
        logger.info("%s: %s %s %s", self.service.name, release.id, outcome, reason or "")
        return is_first

    def _point(self, image: str) -> None:
        self.clients.client("ssm").put_parameter(Name=self.service.parameter, Value=image, Overwrite=True)
