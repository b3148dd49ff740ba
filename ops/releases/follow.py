"""A deployment, line by line while it happens."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from infra_runtime.contract.revision import APP, MIGRATE, MIGRATION_LABEL, containers_of, log_of, named
from infra_runtime.release.ledger import Release
from infra_runtime.release.log_text import plain
from infra_runtime.release.migration_task import task_of
from infra_runtime.release.preflight import deployments, stack_of
from ops.console import Console
from ops.functions import Clients
from ops.releases.target import ReleaseTarget

_EVERY_SECONDS = 1.0
_LEDGER_SECONDS = 60.0
_STAGES = {
    "RECONCILE_SERVICE": "ECS compares what runs with what is wanted",
    "PRE_SCALE_UP": "migrations, before anything new starts",
    "SCALE_UP": "the new tasks start, beside the old ones",
    "POST_SCALE_UP": "the new tasks run, without users' requests",
    "TEST_TRAFFIC_SHIFT": "test traffic moves to the new tasks",
    "POST_TEST_TRAFFIC_SHIFT": "each new task is asked whether it can serve",
    "PRE_PRODUCTION_TRAFFIC_SHIFT": "users are about to move to the new tasks",
    "PRODUCTION_TRAFFIC_SHIFT": "users move to the new tasks",
    "POST_PRODUCTION_TRAFFIC_SHIFT": "users are on the new tasks",
    "BAKE_TIME": "the old tasks stay ready, should an alarm go off",
    "CLEAN_UP": "the old tasks end",
}


class Follower:
    """Polls, and prints what is new at each poll, once more after the stack has come to rest."""

    def __init__(self, place: ReleaseTarget, release: Release, console: Console) -> None:
        self._place, self._release, self._console = place, release, console
        # Which service it is does not change while it is followed, and finding it takes several requests.
        self._service = place.described()
        self._began = datetime.fromisoformat(release.began)
        self._said: set[str] = set()
        self._reader: LogReader | None = None
        self._deployment: Mapping[str, Any] | None = None
        self._saw_it_start = False
        self._bake_began: datetime | None = None

    def follow(self, *, every: float = _EVERY_SECONDS, sleep: Callable[[float], None] = time.sleep) -> Release:
        """Follows it to its end. Returns the release from the ledger: `running` if its end was not recorded yet."""
        give_up = None
        while True:
            resting = not stack_of(self._place.clients, self._place.stack)["StackStatus"].endswith("_IN_PROGRESS")
            self._print_news()
            if resting:
                found = self._place.ledger.find(self._release.service, self._release.id) or self._release
                # CloudFormation may report a stack at rest just after its update began, and the ledger has the end only
                # a moment later.
                give_up = give_up or time.monotonic() + _LEDGER_SECONDS
                if found.outcome != "running" or time.monotonic() > give_up:
                    return found
            else:
                give_up = None
            sleep(every)

    def _say(self, text: str, *, once: bool = True) -> None:
        if once and text in self._said:
            return
        self._said.add(text)
        self._console.print(f"  {datetime.now(UTC):%H:%M:%S}  {text}", highlight=False)

    def _print_news(self) -> None:
        self._deployment = self._newest() or self._deployment
        if (deployment := self._deployment) is None:
            self._say("CloudFormation prepares the new revision")
            return
        stage = deployment.get("lifecycleStage", "PENDING")
        self._saw_it_start = self._saw_it_start or stage != "BAKE_TIME"
        self._say(f"{stage}: {_STAGES.get(stage, '')}")
        if stage == "PRE_SCALE_UP":
            self._waits()
        self._migration_log(deployment["serviceDeploymentArn"])
        target = deployment["targetServiceRevision"]
        if wanted := target.get("requestedTaskCount"):
            self._say(f"{target.get('runningTaskCount', 0)} of {wanted} new tasks are healthy")
        if stage == "BAKE_TIME":
            self._baking(int(deployment["deploymentConfiguration"].get("bakeTimeInMinutes", 0)))
        if "rollback" in deployment:
            self._say(f"it goes back: {deployment['rollback'].get('reason', '')}")

    def _waits(self) -> None:
        found = self._place.ledger.find(self._release.service, self._release.id)
        if found is not None and found.waiting:
            self._say(f"waits for {found.waiting}")

    def _newest(self) -> Mapping[str, Any] | None:
        service, ecs = self._service, self._place.clients.client("ecs")
        mine = list(deployments(ecs, service, createdAt={"after": self._began}))
        if not mine:
            return None
        # The first one: a rollback of the stack that follows is not the release.
        arn = min(mine, key=lambda each: each["createdAt"])["serviceDeploymentArn"]
        found: Mapping[str, Any] = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][
            0
        ]
        return found

    def _baking(self, minutes: int) -> None:
        if not self._saw_it_start:
            self._say(f"it bakes for {minutes} minutes in all")
            return
        self._bake_began = self._bake_began or datetime.now(UTC)
        left = minutes - int((datetime.now(UTC) - self._bake_began).total_seconds() // 60)
        self._say(f"about {max(left, 0)} of {minutes} minutes to go")

    @cached_property
    def _migrations(self) -> str | None:
        """A definition of the tasks that migrate; another release's has the same family."""
        container = named(containers_of(self._place.clients.client("ecs"), self._service["taskDefinition"]), APP)
        found: str | None = container.get("dockerLabels", {}).get(MIGRATION_LABEL)
        return found

    def _migration_log(self, deployment: str) -> None:
        if self._reader is None:
            self._reader = self._migration(deployment)
        if self._reader is not None:
            for line in self._reader.new():
                self._say(f"  | {line}", once=False)

    def _migration(self, deployment: str) -> "LogReader | None":
        ecs, definition = self._place.clients.client("ecs"), self._migrations
        if definition is None or (task := task_of(ecs, self._service["clusterArn"], deployment, definition)) is None:
            return None
        container = named(containers_of(ecs, task["taskDefinitionArn"]), MIGRATE)
        return LogReader(self._place.clients, container, task["taskArn"])


class LogReader:
    """The log of one container of a task, from its beginning."""

    def __init__(self, clients: Clients, container: Mapping[str, Any], task: str) -> None:
        self._logs, self._stream = clients.client("logs"), log_of(container, task)
        self._token: str | None = None

    def new(self) -> Iterator[str]:
        """Lines since the last time; none while there is no log yet."""
        after = {"nextToken": self._token} if self._token else {}
        try:
            found = self._logs.get_log_events(**self._stream, startFromHead=True, **after)
        except self._logs.exceptions.ResourceNotFoundException:
            return
        self._token = found["nextForwardToken"]
        yield from filter(None, (plain(each["message"]) for each in found["events"]))
