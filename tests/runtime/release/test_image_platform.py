"""Which platforms an image is for is read from what ECR keeps of it."""

from typing import Any

import pytest

from infra_runtime.release.image_platform import platforms_in
from infra_runtime.release.preflight import ReleaseProblem, image_in
from tests.runtime.release.aws import IMAGE, REPOSITORY, Manifests

DIGEST = IMAGE.partition("@")[2]
ARM = {"os": "linux", "architecture": "arm64", "variant": "v8"}
INTEL = {"os": "linux", "architecture": "amd64"}
ATTESTATION = {"os": "unknown", "architecture": "unknown"}


def index(*platforms: dict[str, str] | None) -> dict[str, Any]:
    found = [
        {"digest": f"sha256:{number}"} | ({"platform": each} if each else {}) for number, each in enumerate(platforms)
    ]
    return {"schemaVersion": 2, "manifests": found}


def test_an_index_names_them_and_attestations_are_none() -> None:
    assert platforms_in(Manifests({DIGEST: index(ARM, INTEL, ATTESTATION)}), "api", DIGEST) == {
        "linux/arm64",
        "linux/amd64",
    }


def test_a_manifest_has_it_in_its_configuration() -> None:
    ecr = Manifests({DIGEST: {"schemaVersion": 2, "config": {"digest": "sha256:c"}}}, {"sha256:c": INTEL})
    assert platforms_in(ecr, "api", DIGEST) == {"linux/amd64"}


def test_an_index_need_not_name_them() -> None:
    manifests = {DIGEST: index(None, ATTESTATION), "sha256:0": {"config": {"digest": "sha256:c"}}}
    assert platforms_in(Manifests(manifests, {"sha256:c": ARM}), "api", DIGEST) == {"linux/arm64"}


def test_an_image_that_ecr_does_not_have_is_reported() -> None:
    with pytest.raises(ValueError, match=f"no manifest of {DIGEST}"):
        platforms_in(Manifests({}), "api", DIGEST)


def test_an_image_for_another_platform_is_refused_and_both_are_named() -> None:
    clients = Clients(Manifests({DIGEST: index(INTEL, ATTESTATION)}))
    found = image_in(clients, "api", REPOSITORY, IMAGE, platform="linux/arm64")
    assert isinstance(found, ReleaseProblem)
    assert found.what == f"{DIGEST[:19]}… is for linux/amd64; api runs on linux/arm64"
    assert found.todo == "docker buildx build --platform linux/arm64"
    assert image_in(clients, "api", REPOSITORY, IMAGE, platform="linux/amd64") == {"repositoryName": "api"}


def test_an_image_that_does_not_say_what_it_is_for_is_not_refused() -> None:
    unreadable: list[dict[str, Any]] = [
        {},
        {DIGEST: {"manifests": [{"platform": {}}]}},
        {DIGEST: {"schemaVersion": 1}},
    ]
    for manifests in unreadable:
        found = image_in(Clients(Manifests(manifests)), "api", REPOSITORY, IMAGE, platform="linux/arm64")
        assert found == {"repositoryName": "api"}


class Clients:
    def __init__(self, ecr: Manifests) -> None:
        self.ecr = ecr

    def client(self, service: str) -> Manifests:
        assert service == "ecr"
        return self.ecr
