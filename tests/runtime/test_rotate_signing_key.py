"""The media Worker's access key: at every step of a rotation, the Worker signs with a key that works."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra_runtime.custom_resource import Request
from infra_runtime.rotate_signing_key import SigningKey, SigningKeyClients, provide
from infra_runtime.secret_rotation import NotInPlace
from tests.runtime.conftest import Edge
from tests.runtime.fakes import SecretsManager

WORKER: dict[str, Any] = {
    "kind": "worker", "owner": "production", "name": "media-origin", "zone": "example.com",
    "script": "export default {}", "compatibility_date": "2026-11-01", "variables": {}, "cache": True,
    "secrets": {"SIGNING_KEY": {"$secret": "key"}}, "patterns": ["media.example.com/*"],
}  # fmt: skip
USER = {"User": "reader", "Secret": "key"}
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


class Iam:
    """One user. As in IAM, the third access key is refused."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self._count = 0

    def list_access_keys(self, UserName: str) -> dict[str, Any]:  # noqa: N803
        return {"AccessKeyMetadata": [{"AccessKeyId": each} for each in self.keys]}

    def create_access_key(self, UserName: str) -> dict[str, Any]:  # noqa: N803
        if len(self.keys) == 2:
            raise ClientError(
                {"Error": {"Code": "LimitExceeded", "Message": "AccessKeysPerUser: 2"}}, "CreateAccessKey"
            )
        self._count += 1
        made = f"AKIA{self._count}"
        self.keys[made] = f"secret{self._count}"
        return {"AccessKey": {"AccessKeyId": made, "SecretAccessKey": self.keys[made]}}

    def delete_access_key(self, UserName: str, AccessKeyId: str) -> None:  # noqa: N803
        del self.keys[AccessKeyId]


class S3:
    def __init__(self, is_accepted: Callable[[], bool]) -> None:
        self._is_accepted = is_accepted

    def head_bucket(self, Bucket: str) -> None:  # noqa: N803
        if not self._is_accepted():
            raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadBucket")


class World:
    """`refusals` is how often S3 refuses a key because IAM's change has not arrived."""

    def __init__(self, edge: Edge) -> None:
        self.edge, self.iam, self.secrets, self.refusals = edge, Iam(), SecretsManager("made up by CloudFormation"), 0
        self.account = SigningKeyClients(self.secrets, self.iam, self._s3_with, edge.time.clock)
        provide(Request("Create", USER, None), self.account)
        edge.secrets["key"] = self.current
        self.made = edge.ask("Create", WORKER)

    def _s3_with(self, key: str) -> S3:
        def is_accepted() -> bool:
            self.refusals -= 1
            return self.refusals < 0 and self.works(key)

        return S3(is_accepted)

    def works(self, key: str) -> bool:
        identity, _, secret = key.partition(":")
        return self.iam.keys.get(identity) == secret

    @property
    def current(self) -> str:
        return self.secrets.get_secret_value("key")["SecretString"]

    @property
    def signs_with(self) -> str:
        (script,) = [each for name, each in self.edge.world.scripts.items() if name.endswith("media-origin")]
        (bound,) = [each for each in script["bindings"] if each["type"] == "secret_text"]
        return str(bound["text"])

    def rotation(self, version: str) -> SigningKey:
        return SigningKey(
            self.account, self.edge.api(), self.edge.store,
            user="reader", bucket="media", worker="media-origin", secret="key", version=version,
        )  # fmt: skip


@pytest.fixture
def world(edge: Edge) -> World:
    return World(edge)


def test_the_first_key_is_made_once_and_works(world: World) -> None:
    assert world.works(world.signs_with)
    before = world.current
    provide(Request("Update", USER, "reader"), world.account)
    assert world.current == before


def test_at_every_step_of_three_rotations_the_worker_signs_with_a_key_that_works(world: World) -> None:
    for version in ("v2", "v3", "v4"):
        before = world.current
        rotation = world.rotation(version)
        for step in STEPS:
            for _ in range(2):
                rotation.step(step)
                assert world.works(world.signs_with), step
        assert world.signs_with == world.current != before
        assert world.works(before), "machines of Cloudflare's that have the old one still go on"


def test_the_worker_gets_the_key_only_once_s3_accepts_it(world: World) -> None:
    rotation, before = world.rotation("v2"), world.signs_with
    rotation.step("createSecret")
    world.refusals = 5
    rotation.step("setSecret")
    assert world.edge.time.slept.count(3.0) == 5
    assert world.signs_with != before
    world.refusals = 1000
    with pytest.raises(NotInPlace, match="S3 refuses the new access key"):
        world.rotation("v2").step("setSecret")


def test_rotations_that_fail_leave_no_key_in_the_way(world: World) -> None:
    for version in ("v2", "v3", "v4", "v5"):
        world.rotation(version).step("createSecret")
    assert world.works(world.signs_with)


def test_a_new_schedule_can_be_tried(world: World) -> None:
    """Secrets Manager runs testSecret alone."""
    before = world.current
    for value in (None, before):
        world.secrets.begin("v2", value)
        world.rotation("v2").step("testSecret")
    assert world.current == world.signs_with == before


def test_a_key_that_the_worker_does_not_have_does_not_count(world: World) -> None:
    rotation = world.rotation("v2")
    rotation.step("createSecret")
    with pytest.raises(NotInPlace, match="the Worker does not sign with it"):
        rotation.step("testSecret")


def test_no_key_is_left_for_the_user_that_goes(world: World) -> None:
    world.rotation("v2").step("createSecret")
    provide(Request("Delete", USER, "reader"), world.account)
    assert not world.iam.keys


def test_the_key_is_never_listed_nor_declared(world: World) -> None:
    listed = world.edge.api().get(f"/accounts/{world.edge.zone.account}/workers/scripts")
    secret = world.current.partition(":")[2]
    assert secret not in str(listed) + str(world.edge.store.values)
