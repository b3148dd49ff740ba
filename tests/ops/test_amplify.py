"""`infra status` and `infra doctor` of a site that Amplify hosts."""

import io
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from config import load
from config.model import Environment
from ops.amplify import Build, DeployedAmplifySite, SiteStatus, site_status
from ops.console import Console
from ops.doctor.amplify import examine
from ops.errors import InputError
from ops.releases.target import ReleaseTarget
from ops.status import EnvironmentStatus, show
from rehearsal.variants import with_sites_on_amplify
from simulators.aws.amplify import NEXT_SERVER, AmplifyHosting
from tests.runtime.fakes import AmplifyClient

HOST = "daadaar.com"


class Account:
    """One stack, and the site in it."""

    def __init__(self) -> None:
        self.amplify = AmplifyHosting(lambda _: [])
        self.app = self.amplify.create_app("site", arn_prefix="arn:aws:amplify:eu-central-1:1", variables={})
        self.amplify.create_branch(self.app, "main", framework=NEXT_SERVER)
        setting = {"prefix": "", "branchName": "main"}
        self.amplify.create_domain_association(appId=self.app, domainName=HOST, subDomainSettings=[setting])
        self.domain = self.amplify.apps[self.app].domains[HOST]
        self.domain.status = "AVAILABLE"
        self.refuses = False

    def build(self, *, fails: bool = False) -> None:
        self.amplify.fails_to_build = fails
        self.amplify.start_job(appId=self.app, branchName="main", jobType="RELEASE")
        for _ in range(2):
            self.amplify.list_jobs(appId=self.app, branchName="main")

    def client(self, service: str) -> Any:
        if self.refuses and service == "amplify":
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetDomainAssociation")
        return AmplifyClient(self.amplify) if service == "amplify" else self

    def get_paginator(self, _: str) -> "Account":
        return self

    def paginate(self, *, StackName: str) -> list[dict[str, Any]]:  # noqa: N803
        assert StackName == "daadaar-production-frontend-amplify"
        kinds = {
            "AWS::Amplify::App": self.app,
            "AWS::Amplify::Branch": f"{self.amplify.apps[self.app].arn}/branches/main",
        }
        found = [{"ResourceType": kind, "PhysicalResourceId": each} for kind, each in kinds.items()]
        return [{"StackResourceSummaries": found}]


@pytest.fixture
def environment(environments: Path, tmp_path: Path) -> Environment:
    folder = with_sites_on_amplify(environments, "production", into=tmp_path / "amplified")
    return load(["production"], directory=folder)["production"]


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def site(environment: Environment, account: Account) -> DeployedAmplifySite:
    return DeployedAmplifySite("production", environment, "frontend", account)


def problems(site: DeployedAmplifySite) -> list[str]:
    found = list(examine(site))
    assert not any(each.stops for each in found)
    return [each.what for each in found]


def test_status_tells_of_the_domain_and_of_the_newest_build(site: DeployedAmplifySite, account: Account) -> None:
    for _ in range(11):  # 11 is after 9: job ids are text
        account.build()
    account.build(fails=True)
    build = Build(number="12", status="FAILED", commit="HEAD")
    found = site_status(site)
    assert found == SiteStatus(host=HOST, domain="AVAILABLE", reason=None, build=build)
    out = io.StringIO()
    status = EnvironmentStatus(services={"frontend": found}, alarms=[], maintenance=None)
    show("production", status, Console(file=out, width=200), as_json=False)
    assert "12 FAILED, commit HEAD" in out.getvalue()


def test_a_site_that_was_never_built_has_a_status(site: DeployedAmplifySite) -> None:
    assert site_status(site).build is None


def test_doctor_has_nothing_to_say_of_a_site_that_is_served(site: DeployedAmplifySite, account: Account) -> None:
    account.build()
    assert problems(site) == []


def test_doctor_tells_of_a_failed_domain_and_a_failed_build(site: DeployedAmplifySite, account: Account) -> None:
    account.build(fails=True)
    account.domain.status, account.domain.reason = "FAILED", "the CNAME is gone"
    assert problems(site) == [
        f"{HOST} is FAILED at Amplify: the CNAME is gone",
        "the last build failed: 1, commit HEAD",
    ]


def test_doctor_says_what_it_could_not_look_at(site: DeployedAmplifySite, account: Account) -> None:
    account.refuses = True
    assert problems(site) == ["Amplify was not checked: these credentials may not read it"]


def test_a_release_of_a_site_on_amplify_is_a_push(environment: Environment, account: Account) -> None:
    with pytest.raises(InputError, match="Amplify builds and releases it with every push"):
        ReleaseTarget("production", environment, "frontend", account)
