"""State of a service and of its deployments, as data. Times are ISO 8601 in UTC."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra_runtime.contract.revision import APP, containers_of, named
from infra_runtime.release.ledger import Release
from infra_runtime.release.preflight import UNDER_WAY, deployments, live_weights, release_alarms, stack_of
from infra_runtime.release.rollback import holding
from ops.releases.target import ReleaseTarget


@dataclass(frozen=True, kw_only=True)
class TaskCounts:
    running: int
    desired: int


@dataclass(frozen=True, kw_only=True)
class ServiceDeployment:
    """The service's newest deployment at ECS."""

    arn: str
    status: str
    stage: str | None
    """Lifecycle stage; None for a rolling deployment."""
    under_way: bool
    since: str
    minutes: int
    """Since it began."""
    from_image: str | None
    to_image: str


@dataclass(frozen=True, kw_only=True)
class LastRelease:
    """The ledger's newest entry."""

    id: str
    kind: str
    outcome: str
    who: str
    began: str
    ended: str | None
    reason: str | None
    """Reason of the failure."""
    note: str | None
    waiting: str | None
    """The release whose migration of the same database it waits for."""
    repairs: list[str]
    """Statements that drop INVALID indexes."""

    @classmethod
    def of(cls, release: Release) -> "LastRelease":
        return cls(**{name: getattr(release, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    image: str
    """The image that the service should run."""
    tasks: TaskCounts
    stack: str
    """Status of its stack."""
    deployment: ServiceDeployment | None
    release: LastRelease | None
    waits_since: str | None
    """The rollback that makes pipelines wait until releases are resumed."""
    traffic: dict[str, int]
    """Weight of each target group; empty for a worker."""
    alarms: dict[str, str]
    """State of each alarm that can roll a release back."""


def service_status(place: ReleaseTarget) -> ServiceStatus:
    service, releases = place.described(), place.ledger.releases(place.service)
    rollback = holding(releases)
    weights = live_weights(place.clients, service) if service["loadBalancers"] else {}
    alarms = release_alarms(place.clients, service)
    return ServiceStatus(
        image=place.image(),
        tasks=TaskCounts(running=service["runningCount"], desired=service["desiredCount"]),
        stack=stack_of(place.clients, place.stack)["StackStatus"],
        deployment=_newest_deployment(place, service),
        release=LastRelease.of(releases[0]) if releases else None,
        waits_since=rollback.id if rollback else None,
        traffic={group.split("/")[-2]: weight for group, weight in weights.items()},
        alarms={name: state for name, state in alarms.items() if state is not None},
    )


def _newest_deployment(place: ReleaseTarget, service: Mapping[str, Any]) -> ServiceDeployment | None:
    ecs = place.clients.client("ecs")
    newest = max(deployments(ecs, service), key=lambda each: each["createdAt"], default=None)
    if newest is None:
        return None
    arn = newest["serviceDeploymentArn"]
    (found,) = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
    before = [each["arn"] for each in found.get("sourceServiceRevisions", [])]
    began = found["createdAt"].astimezone(UTC)
    return ServiceDeployment(
        arn=arn,
        status=found["status"],
        stage=found.get("lifecycleStage"),
        under_way=found["status"] in UNDER_WAY,
        since=began.isoformat(timespec="seconds"),
        minutes=int((datetime.now(UTC) - began).total_seconds() // 60),
        from_image=_image(ecs, before[0]) if before else None,
        to_image=_image(ecs, found["targetServiceRevision"]["arn"]),
    )


def _image(ecs: Any, revision: str) -> str:
    (found,) = ecs.describe_service_revisions(serviceRevisionArns=[revision])["serviceRevisions"]
    image: str = named(containers_of(ecs, found["taskDefinition"]), APP)["image"]
    return image
