"""Whether new tasks could read a secret is known without reading its value."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra_runtime.release.preflight import ReleasedService, ReleasePreflight, ReleaseProblem
from infra_runtime.service_secrets import UnusableSecret, last_change

CHANGED = datetime(2026, 11, 26, 5, tzinfo=UTC)
PRESENT = {"LastChangedDate": CHANGED, "VersionIdsToStages": {"v2": ["AWSCURRENT"], "v1": ["AWSPREVIOUS"]}}


class Manager:
    """Secrets Manager as it answers a role that may describe `NAME-??????`, and nothing else."""

    def __init__(self, **described: dict[str, Any]) -> None:
        self.described = {f"daadaar/{name}": each for name, each in described.items()}
        self.missing = "AccessDeniedException"

    def client(self, service: str) -> "Manager":
        assert service == "secretsmanager"
        return self

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:  # noqa: N803
        if SecretId not in self.described:
            raise ClientError({"Error": {"Code": self.missing, "Message": SecretId}}, "DescribeSecret")
        return self.described[SecretId]


UNUSABLE = [
    (
        {"jwt": {**PRESENT, "DeletedDate": CHANGED}},
        "is scheduled for deletion",
        "aws secretsmanager restore-secret --secret-id daadaar/jwt",
    ),
    # As CreateSecret without a value leaves it: DescribeSecret has no VersionIdsToStages then.
    ({"jwt": {"LastChangedDate": CHANGED}}, "has no value", "./infra secret set ENV daadaar/jwt"),
    (
        {"jwt": {**PRESENT, "VersionIdsToStages": {"v1": ["AWSPENDING"]}}},
        "has no value",
        "./infra secret set ENV daadaar/jwt",
    ),
]


@pytest.mark.parametrize(("described", "why", "todo"), UNUSABLE)
def test_a_secret_that_no_task_could_read_is_named_with_the_command_that_helps(
    described: dict[str, Any], why: str, todo: str
) -> None:
    with pytest.raises(UnusableSecret, match=f"^daadaar/jwt {why}$") as unusable:
        last_change(Manager(**described), "daadaar/jwt")
    assert unusable.value.todo == todo


@pytest.mark.parametrize("missing", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_secret_that_is_not_there_is_named_however_aws_refuses(missing: str) -> None:
    manager = Manager()
    manager.missing = missing
    with pytest.raises(UnusableSecret, match=r"^daadaar/jwt does not exist") as unusable:
        last_change(manager, "daadaar/jwt")
    assert unusable.value.todo == "./infra secret set ENV daadaar/jwt"


def test_the_time_of_a_secrets_last_change_is_returned() -> None:
    assert last_change(Manager(jwt=PRESENT), "daadaar/jwt") == CHANGED


def test_a_failed_lookup_of_a_secret_is_an_error() -> None:
    manager = Manager()
    manager.missing = "ThrottlingException"
    with pytest.raises(ClientError, match="ThrottlingException"):
        last_change(manager, "daadaar/jwt")


@pytest.mark.parametrize("kind", ["release", "rollback"])
def test_a_release_is_refused_for_every_secret_that_its_tasks_could_not_read(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in ("_image", "_stack", "_running"):  # Tests in a deployed account cover these.
        monkeypatch.setattr(ReleasePreflight, each, lambda *_, **__: [])
    names = ("daadaar/gone", "daadaar/jwt", "daadaar/mail")
    service = ReleasedService("api", "stack", "parameter", "repository", "linux/arm64", names)
    manager = Manager(jwt=PRESENT, mail={"LastChangedDate": CHANGED})
    manager.missing = "ResourceNotFoundException"
    assert ReleasePreflight(manager, service).problems("image", kind) == [
        ReleaseProblem("secret", "daadaar/gone does not exist", "./infra secret set ENV daadaar/gone"),
        ReleaseProblem("secret", "daadaar/mail has no value", "./infra secret set ENV daadaar/mail"),
    ]
