"""A site on Amplify is built when it is new, and when what it is built with has changed."""

from typing import Any

import pytest

from infra_runtime.amplify_build import build
from infra_runtime.custom_resource import Request
from simulators.aws.amplify import NEXT_SERVER, AmplifyHosting
from tests.runtime.fakes import AmplifyClient


@pytest.mark.parametrize(("kind", "builds"), [("Create", 1), ("Update", 1), ("Delete", 0)])
def test_creates_and_updates_start_a_build_and_a_delete_does_not(kind: Any, builds: int) -> None:
    simulator = AmplifyHosting(lambda _: [])
    app = simulator.create_app("site", arn_prefix="arn:aws:amplify:eu-central-1:1", variables={})
    simulator.create_branch(app, "main", framework=NEXT_SERVER)
    made = build(Request(kind, {"App": app, "Branch": "main"}, None), AmplifyClient(simulator))
    assert made.physical_id == f"{app}/main"
    assert [each["jobType"] for each in simulator.apps[app].branches["main"]] == ["RELEASE"] * builds


@pytest.mark.parametrize(("framework", "status"), [(NEXT_SERVER, "SUCCEED"), ("", "FAILED"), ("Web", "FAILED")])
def test_a_branch_that_is_not_known_as_one_of_nextjs_does_not_build(framework: str, status: str) -> None:
    simulator = AmplifyHosting(lambda _: [])
    app = simulator.create_app("site", arn_prefix="arn:aws:amplify:eu-central-1:1", variables={})
    simulator.create_branch(app, "main", framework=framework)
    build(Request("Create", {"App": app, "Branch": "main"}, None), AmplifyClient(simulator))
    statuses = [simulator.list_jobs(appId=app, branchName="main")["jobSummaries"][0]["status"] for _ in range(3)]
    assert statuses[-1] == status
