"""What runs in a place, and what moves, as data."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from infra_runtime.contract.revision import APP, containers_of, named
from infra_runtime.release.preflight import UNDER_WAY, deployments, live_weights, release_alarms, stack_of
from ops.releases.place import Place

_OF_A_RELEASE = ("id", "kind", "outcome", "who", "began", "note", "waiting", "repairs")


def place_status(place: Place) -> dict[str, Any]:
    """For `infra status`: numbers are numbers, and what there is none of is None."""
    service, newest = place.described(), place.ledger.newest(place.service)
    return {
        "image": place.image(),
        "tasks": {"running": service["runningCount"], "desired": service["desiredCount"]},
        "stack": stack_of(place.clients, place.stack)["StackStatus"],
        "deployment": _newest_deployment(place, service),
        "release": {key: getattr(newest, key) for key in _OF_A_RELEASE} if newest else None,
        "traffic": {group.split("/")[-2]: weight for group, weight in live_weights(place.clients, service).items()},
        "alarms": {name: state for name, state in release_alarms(place.clients, service).items() if state is not None},
    }


def _newest_deployment(place: Place, service: Mapping[str, Any]) -> dict[str, Any] | None:
    ecs = place.clients.client("ecs")
    newest = max(deployments(ecs, service), key=lambda each: each["createdAt"], default=None)
    if newest is None:
        return None
    arn = newest["serviceDeploymentArn"]
    (found,) = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
    before = [each["arn"] for each in found.get("sourceServiceRevisions", [])]
    return {
        "arn": arn,
        "status": found["status"],
        "stage": found.get("lifecycleStage"),
        "under_way": found["status"] in UNDER_WAY,
        "minutes": int((datetime.now(UTC) - found["createdAt"]).total_seconds() // 60),
        "from_image": _image(ecs, before[0]) if before else None,
        "to_image": _image(ecs, found["targetServiceRevision"]["arn"]),
    }


def _image(ecs: Any, revision: str) -> str:
    (found,) = ecs.describe_service_revisions(serviceRevisionArns=[revision])["serviceRevisions"]
    image: str = named(containers_of(ecs, found["taskDefinition"]), APP)["image"]
    return image
