"""ECS's hook before a new version starts: runs its migrations once, and waits for them.

The task runs the environment's command in the product's image, and nothing else. Everything around it is done here:
one migration of a database at a time, the longest it may take, and what it has changed. ECS calls it every few seconds,
each time in any instance of the function: its state is in the lock's item, and it finds the task by the deployment's
name.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
from botocore.exceptions import ClientError

from infra_runtime.aws import client
from infra_runtime.contract.revision import (
    MIGRATE,
    MIGRATION_LABEL,
    Answer,
    HookCall,
    Revision,
    answer,
    containers_of,
    named,
    revision_of,
    started_by,
)
from infra_runtime.database.connection import Connection, Login, connect
from infra_runtime.release.catalog import Fact, breaks, digest, end_sessions, facts, invalid_indexes
from infra_runtime.release.image_layers import Unreadable
from infra_runtime.release.ledger import Ledger
from infra_runtime.release.migration_lock import Holder, LockTaken, MigrationLock
from infra_runtime.release.migration_task import task_of
from infra_runtime.release.preflight import UNDER_WAY
from infra_runtime.release.skipped import skipped
from infra_runtime.reporting import reported
from infra_runtime.task_log import last_lines

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_ASK_AGAIN_SECONDS = 5
_LINES_REPORTED = 20
# A database that fails over is back in two minutes; the task has ended, and only its report is missing.
_LONGEST_REPORT = timedelta(minutes=10)

NO_DATABASE, LOCK_NOT_HAD, TOO_LONG = 69, 75, 124
"""Exit codes besides the command's own, as sysexits(3) and timeout(1) have them."""
_DELETED = ("ClusterNotFoundException", "ServiceNotFoundException")
_STOPPED = "infra: the migration took longer than it may"


@reported
def handler(event: Mapping[str, Any], context: object) -> Answer:
    table, dynamodb = os.environ["LEDGER"], client("dynamodb")
    hook = Migrate(
        client("ecs"),
        client("logs"),
        Ledger(dynamodb, table),
        MigrationLock(dynamodb, table, os.environ["PGDATABASE"]),
        _owner,
        service=os.environ["SERVICE"],
        repository=os.environ["REPOSITORY"],
        longest=timedelta(minutes=int(os.environ["MINUTES"])),
        skipped=partial(skipped, client("ecr")),
    )
    return hook.answer(HookCall.of(event))


def _owner() -> Connection:
    """Connects with the login that migrates. Read each time, as it is rotated (docs/adr/0013)."""
    secret = client("secretsmanager").get_secret_value(SecretId=os.environ["LOGIN_SECRET"])["SecretString"]
    return connect(Login.of(secret, username=os.environ.get("PGUSER")))


@dataclass(frozen=True)
class Migrate:
    ecs: Any
    logs: Any
    ledger: Ledger
    lock: MigrationLock
    connect: Callable[[], Connection]
    """Connects to the database with the login that migrates it."""
    service: str
    repository: str
    """Of the released images; a task with an image of another one runs the bootstrap image."""
    longest: timedelta
    """Waiting and running, together."""
    skipped: Callable[[str, Connection], list[str]]
    """Migrations in the image that its tool has skipped. Raises `Unreadable`."""
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def answer(self, asked: HookCall) -> Answer:
        """Raises only what a repetition would raise, too: ECS treats an exception as FAILED."""
        revision = revision_of(self.ecs, asked)
        if not revision.image.startswith(f"{self.repository}@"):
            logger.info("%s: nothing was released yet, so there is nothing to migrate", self.service)
            return answer("SUCCEEDED")
        definition = revision.container["dockerLabels"][MIGRATION_LABEL]
        last = self.lock.last()
        if last is None or last.deployment != asked.deployment:
            if self.ledger.is_stopped(self.service, revision.image):
                logger.info("%s: nothing is migrated: the release was stopped", self.service)
                return answer("FAILED")
            return self._begin(revision, asked, definition, last)
        if last.succeeded is not None:
            return answer("SUCCEEDED" if last.succeeded else "FAILED")
        task = self._task_of(last)
        if task is None:
            self._start(revision, asked, definition)
        elif task["lastStatus"] == "STOPPED":
            return self._ended(task, last, revision.image)
        else:
            self._stop_if_late(task, last)
        return _later()

    # -- the lock

    def _begin(self, revision: Revision, asked: HookCall, definition: str, last: Holder | None) -> Answer:
        until = self._began(asked) + self.longest
        if last is not None and last.succeeded is None and self._may_still_write(last):
            return self._wait(last, until)
        is_inherited = last is not None and last.succeeded is None
        try:
            before = self._inherited() if is_inherited else self._facts()
        except psycopg.Error as error:
            return self._refuse(NO_DATABASE, f"no database: {error}")
        mine = Holder(
            deployment=asked.deployment,
            service=self.service,
            cluster=revision.cluster,
            definition=definition,
            until=until.isoformat(timespec="seconds"),
            before=last.before if last is not None and is_inherited else digest(before or ()),
        )
        try:
            self.lock.take(mine, before, instead_of=last)
        except LockTaken:
            return _later()
        self.ledger.waits(self.service, None)
        self._start(revision, asked, definition)
        return _later()

    def _facts(self) -> list[Fact]:
        with self.connect() as connection:
            return facts(connection)

    def _inherited(self) -> list[Fact] | None:
        """Facts from before a migration whose function is gone: only they show what it has broken."""
        with self.connect() as connection:
            end_sessions(connection)
        return self.lock.facts()

    def _wait(self, holder: Holder, until: datetime) -> Answer:
        whom = f"the migration of {holder.service} in {self.lock.database}, {holder.deployment}"
        if self.now() > until:
            return self._refuse(LOCK_NOT_HAD, f"waited in vain for {whom}")
        logger.info("%s: waits for %s", self.service, whom)
        self.ledger.waits(self.service, whom)
        return _later()

    def _may_still_write(self, holder: Holder) -> bool:
        """As long as its task lives, and as long as ECS calls the hook, which then reports how it ended."""
        try:
            task = self._task_of(holder)
            if task is not None and task["lastStatus"] != "STOPPED":
                # Its own deployment may be gone, which would otherwise stop it.
                self._stop_if_late(task, holder)
                return True
            deployment = self._deployment(holder.deployment)
        except ClientError as error:
            if error.response["Error"]["Code"] in _DELETED:
                return False
            raise
        return deployment is not None and deployment["status"] in UNDER_WAY

    def _began(self, asked: HookCall) -> datetime:
        deployment = self._deployment(asked.deployment)
        if deployment is None:
            raise LookupError(f"{asked.deployment}: ECS asks for it and does not know it")
        found: datetime = deployment.get("startedAt") or deployment["createdAt"]
        return found

    def _deployment(self, arn: str) -> Mapping[str, Any] | None:
        found = self.ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
        return dict(found[0]) if found else None

    def _refuse(self, code: int, reason: str) -> Answer:
        """Before anything has begun."""
        self.ledger.note(self.service, "migration", {"exit": code, "reason": reason})
        logger.error("%s: nothing was migrated: %s", self.service, reason)
        return answer("FAILED")

    # -- the task

    def _task_of(self, holder: Holder) -> Mapping[str, Any] | None:
        return task_of(self.ecs, holder.cluster, holder.deployment, holder.definition)

    def _start(self, revision: Revision, asked: HookCall, definition: str) -> None:
        migration = named(containers_of(self.ecs, definition), MIGRATE)
        if migration["image"] != revision.image:
            raise ValueError(f"{definition} would migrate for {migration['image']}, not for {revision.image}")
        name = started_by(asked.deployment)
        answered = self.ecs.run_task(
            cluster=revision.cluster,
            taskDefinition=definition,
            networkConfiguration=revision.network,
            # Never Spot: a migration is not ended on two minutes' notice.
            capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
            startedBy=name,
            # The same call again is the same task.
            clientToken=name,
        )
        if failures := answered["failures"]:
            raise RuntimeError(f"ECS started no migration: {failures[0].get('reason')}: {failures[0].get('detail')}")
        logger.info("%s: migrating for %s in %s", self.service, revision.image, answered["tasks"][0]["taskArn"])

    def _stop_if_late(self, task: Mapping[str, Any], holder: Holder) -> None:
        if holder.is_late(self.now()) and task.get("desiredStatus") != "STOPPED":
            logger.error("%s: %s is stopped: it took too long", holder.service, task["taskArn"])
            self.ecs.stop_task(cluster=holder.cluster, task=task["taskArn"], reason=_STOPPED)

    # -- how it ended

    def _ended(self, task: Mapping[str, Any], holder: Holder, image: str) -> Answer:
        container = named(task["containers"], MIGRATE)
        # ECS keeps the reason that StopTask was given (API Reference, StopTask).
        is_late = task.get("stoppedReason") == _STOPPED
        code = TOO_LONG if is_late else container.get("exitCode")
        ended = task.get("stoppedReason") if code is None else f"the command ended with {code}"
        reason = "the command took too long" if is_late else container.get("reason") or ended or ""
        try:
            found = self._found(holder, image, is_done=code == 0)
        except psycopg.Error as error:
            if self.now() < task.get("stoppedAt", self.now()) + _LONGEST_REPORT:
                logger.warning("%s: what was migrated cannot be read yet: %s", self.service, error)
                return _later()
            found = {"breaks": [f"unknown: the catalog could not be read afterwards: {error}"]}
            code, reason = (NO_DATABASE, f"no database: {error}") if code == 0 else (code, reason)
        result = {**found, "exit": code, "task": task["taskArn"]}
        is_good = code == 0 and not found.get("skipped")
        if not is_good:
            if code == 0:
                reason = f"skipped, as older than what was applied before: {', '.join(found['skipped'])}"
            lines = last_lines(
                self.ecs,
                self.logs,
                task=task["taskArn"],
                definition=holder.definition,
                container=MIGRATE,
                most=_LINES_REPORTED,
                is_expected=code is not None,
                sleep=self.sleep,
            )
            result |= {"reason": reason, "lines": lines}
        self.ledger.note(self.service, "migration", result)
        self.lock.end(holder, succeeded=is_good)
        if is_good:
            logger.info("%s: migrated, %s", self.service, json.dumps(found))
            return answer("SUCCEEDED")
        logger.error("%s: the migration ended with %s: %s", self.service, code, json.dumps(result))
        return answer("FAILED")

    def _found(self, holder: Holder, image: str, *, is_done: bool) -> dict[str, Any]:
        """The outcome, for the ledger. Raises `psycopg.Error`."""
        before = self.lock.facts()
        with self.connect() as connection:
            if not is_done:
                end_sessions(connection)
            after, invalid = facts(connection), invalid_indexes(connection)
            skipped = self._skipped(image, connection) if is_done else {}
        if before is not None:
            broken = breaks(before, after)
        elif holder.before == digest(after):
            broken = []
        else:
            broken = ["unknown: the catalog was too large to be kept, and has changed"]
        return {"before": holder.before, "after": digest(after), "breaks": broken, "invalid": invalid, **skipped}

    def _skipped(self, image: str, connection: Connection) -> dict[str, Any]:
        try:
            return {"skipped": self.skipped(image, connection)}
        except Unreadable as error:
            # Nothing says that anything is wrong.
            logger.warning("%s: not checked for skipped migrations: %s", self.service, error)
            return {"unchecked": str(error)}


def _later() -> Answer:
    return answer("IN_PROGRESS", ask_again_in=_ASK_AGAIN_SECONDS)
