"""ECS's question before a new version starts: is the database ready for it? Runs the migrations, once, and waits.

Asked again every few seconds, and by whichever copy of this function: what is known is what ECS itself remembers of
the task, which carries the deployment's own name.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra_runtime.aws import client
from infra_runtime.release.ledger import Ledger
from infra_runtime.release.log_text import plain
from infra_runtime.release.revision import (
    MIGRATE,
    MIGRATION_LABEL,
    Answer,
    Asked,
    Revision,
    answer,
    containers_of,
    log_of,
    named,
    revision_of,
)
from infra_runtime.reporting import reported

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_ASK_AGAIN_SECONDS = 5
_LINES_TOLD = 20
_LOG_WAITS = 10


@reported
def handler(event: Mapping[str, Any], context: object) -> Answer:
    ledger = Ledger(client("dynamodb"), os.environ["LEDGER"])
    hook = Migrate(client("ecs"), client("logs"), ledger, os.environ["SERVICE"], os.environ["BOOTSTRAP_IMAGE"])
    return hook.answer(Asked.of(event))


def started_by(deployment: str) -> str:
    """What a deployment's task is found by, and its client token: of 64 letters at most."""
    return f"migrate-{hashlib.sha256(deployment.encode()).hexdigest()[:28]}"


def task_of(ecs: Any, cluster: str, deployment: str, definition: str) -> Mapping[str, Any] | None:
    """The task that migrates for a deployment, as ECS describes it; None when there is none yet.

    `definition` is the ARN of its task definition.
    """
    name = started_by(deployment)
    # The first lists those that are to run. ListTasks takes `startedBy` as the only filter or not at all.
    family = definition.rpartition("/")[2].partition(":")[0]
    for filters in ({"startedBy": name}, {"family": family, "desiredStatus": "STOPPED"}):
        for page in ecs.get_paginator("list_tasks").paginate(cluster=cluster, **filters):
            if arns := page["taskArns"]:
                for task in ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]:
                    if task.get("startedBy") == name:
                        return dict(task)
    return None


@dataclass(frozen=True)
class Migrate:
    ecs: Any
    logs: Any
    ledger: Ledger
    service: str
    bootstrap: str
    sleep: Callable[[float], None] = time.sleep

    def answer(self, asked: Asked) -> Answer:
        """Raises nothing that a repetition would not raise; ECS takes what is raised for FAILED."""
        revision = revision_of(self.ecs, asked)
        if revision.image == self.bootstrap:
            logger.info("%s: nothing was released yet, so there is nothing to migrate", self.service)
            return answer("SUCCEEDED")
        definition = revision.container["dockerLabels"][MIGRATION_LABEL]
        task = task_of(self.ecs, revision.cluster, asked.deployment, definition)
        if task is None:
            self._start(revision, asked, definition)
            return answer("IN_PROGRESS", ask_again_in=_ASK_AGAIN_SECONDS)
        if task["lastStatus"] != "STOPPED":
            return answer("IN_PROGRESS", ask_again_in=_ASK_AGAIN_SECONDS)
        return self._ended(task, definition)

    def _start(self, revision: Revision, asked: Asked, definition: str) -> None:
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

    def _ended(self, task: Mapping[str, Any], definition: str) -> Answer:
        container = named(task["containers"], MIGRATE)
        code = container.get("exitCode")
        lines = self._lines(task["taskArn"], definition)
        for _ in range(_LOG_WAITS if code == 0 else 0):
            if _told(lines):
                break
            # A log arrives a little later than the news that its container has ended.
            self.sleep(1)
            lines = self._lines(task["taskArn"], definition)
        told = _told(lines)
        reason = told.get("error") or container.get("reason") or task.get("stoppedReason") or ""
        self.ledger.note(
            self.service,
            "migration",
            {**told, "exit": code, "task": task["taskArn"]}
            | ({} if code == 0 else {"reason": reason, "lines": lines[-_LINES_TOLD:]}),
        )
        if code == 0:
            logger.info("%s: migrated, %s", self.service, json.dumps(told))
            return answer("SUCCEEDED")
        logger.error("%s: the migration ended with %s: %s\n%s", self.service, code, reason, "\n".join(lines))
        return answer("FAILED")

    def _lines(self, task: str, definition: str) -> list[str]:
        """Of the task's log, the last ones; none when it never came to run."""
        container = named(containers_of(self.ecs, definition), MIGRATE)
        try:
            events = self.logs.get_log_events(**log_of(container, task), startFromHead=False, limit=100)["events"]
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        return [plain(each["message"]) for each in events]


def _told(lines: Sequence[str]) -> dict[str, Any]:
    """What the runner says at its end (migration_runner.mjs)."""
    for line in reversed(lines):
        if line.startswith('{"migration":'):
            found: dict[str, Any] = json.loads(line)["migration"]
            return found
    return {}
