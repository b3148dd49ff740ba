"""The pointer is seeded once, and then belongs to the releases."""

from typing import Any

from infra_runtime.custom_resource import Request
from infra_runtime.image_pointer import converge

SEED = "registry.example/node:24"
RELEASED = "registry.example/api@sha256:" + "a" * 64


class Ssm:
    """Parameters in memory, with the two refusals that matter."""

    class exceptions:  # noqa: N801  (boto3's own spelling)
        class ParameterAlreadyExists(Exception): ...

        class ParameterNotFound(Exception): ...

    def __init__(self, **values: str) -> None:
        self.values = {name.replace("_", "/"): value for name, value in values.items()}

    def get_parameter(self, *, Name: str) -> Any:  # noqa: N803
        return {"Parameter": {"Value": self.values[Name]}}

    def put_parameter(self, *, Name: str, Value: str, Overwrite: bool = False, **_: Any) -> None:  # noqa: N803
        if Name in self.values and not Overwrite:
            raise self.exceptions.ParameterAlreadyExists
        self.values[Name] = Value

    def delete_parameter(self, *, Name: str) -> None:  # noqa: N803
        if Name not in self.values:
            raise self.exceptions.ParameterNotFound
        del self.values[Name]


def request(kind: Any, physical_id: str | None = None, *, parameter: str = "/p/api/image", seed: str = SEED) -> Request:
    former = {"Parameter": "/p/api/image", "Seed": SEED} if kind == "Update" else {}
    return Request(kind, {"Parameter": parameter, "Seed": seed}, physical_id, former)


def test_the_first_deployment_seeds_it() -> None:
    ssm = Ssm()
    assert converge(request("Create"), ssm).physical_id == "/p/api/image"
    assert ssm.values == {"/p/api/image": SEED}


def test_a_deployment_after_a_release_leaves_the_release() -> None:
    ssm = Ssm(_p_api_image=RELEASED)
    converge(request("Update", "/p/api/image", seed="registry.example/node:26"), ssm)
    assert ssm.values == {"/p/api/image": RELEASED}


def test_before_the_first_release_it_follows_its_seed() -> None:
    ssm = Ssm(_p_api_image=SEED)
    converge(request("Update", "/p/api/image", seed="registry.example/node:26"), ssm)
    assert ssm.values == {"/p/api/image": "registry.example/node:26"}


def test_a_pointer_that_is_already_there_is_taken_over() -> None:
    ssm = Ssm(_p_api_image=RELEASED)
    converge(request("Create"), ssm)
    assert ssm.values == {"/p/api/image": RELEASED}


def test_a_new_name_is_a_new_pointer() -> None:
    """The id changes, so CloudFormation deletes the old one afterwards."""
    ssm = Ssm(_p_api_image=RELEASED)
    assert converge(request("Update", "/p/api/image", parameter="/q/api/image"), ssm).physical_id == "/q/api/image"
    assert ssm.values == {"/p/api/image": RELEASED, "/q/api/image": SEED}


def test_deleting_it_twice_is_no_error() -> None:
    ssm = Ssm(_p_api_image=RELEASED)
    converge(request("Delete", "/p/api/image"), ssm)
    converge(request("Delete", "/p/api/image"), ssm)
    assert ssm.values == {}
