"""A site's domain at Amplify: the function writes the DNS records that make it available."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from infra_runtime.amplify_domain import NotAvailable, provide
from infra_runtime.custom_resource import Request, Result
from simulators.aws.amplify import NEXT_SERVER, AmplifyHosting
from simulators.cloudflare.server import resolve
from tests.runtime.conftest import Edge
from tests.runtime.fakes import AmplifyClient

HOST = "example.com"
SITE = "production.dns.frontend"


class Hosting:
    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.edge.lambda_seconds = 900  # The function's time limit.
        self.slow_until = 0.0
        """Time until which no resolver has any of the records."""
        self.is_flattened = False
        """The site's name answers with addresses, as Cloudflare answers for the apex of a zone."""
        self.amplify = AmplifyHosting(self.cnames)
        self.app = self.new_app()
        self.asked: list[Mapping[str, Any]] = []

    def new_app(self) -> str:
        app = self.amplify.create_app("site", arn_prefix="arn:aws:amplify:eu-central-1:1", variables={})
        self.amplify.create_branch(app, "main", framework=NEXT_SERVER)
        return app

    def cnames(self, name: str) -> list[str]:
        if self.edge.time.seconds < self.slow_until or (self.is_flattened and name == HOST):
            return []
        return [each["data"] for each in resolve(self.edge.world, name)["Answer"]]

    def status(self) -> str:
        return self.amplify.apps[self.app].domains[HOST].status

    def target(self) -> str:
        return self.amplify.apps[self.app].domains[HOST].target

    def ours(self) -> dict[str, tuple[str, bool]]:
        """Content of each record of ours, and whether it is proxied, by comment."""
        records = self.edge.zone.records.values()
        found = {str(each.get("comment")): (each["content"], each["proxied"]) for each in records}
        return {comment: each for comment, each in found.items() if comment.startswith("production.")}

    def ask(
        self, kind: Any, physical_id: str | None = None, *, app: str = "", branch: str = "main", adopt: bool = False
    ) -> Result:
        document = {
            "app": app or self.app,
            "branch": branch,
            "host": HOST,
            "zone": "example.com",
            "owner": "production.amplify-frontend",
            "site": {"owner": "production.dns", "name": "frontend"},
            "adopt": adopt,
        }
        request = Request(kind, {"Document": json.dumps(document)}, physical_id)
        return self.edge.over_invocations(
            self.asked,
            lambda api, invocation: provide(request, AmplifyClient(self.amplify), api, invocation, self.asked.append),
        )

    def declare_names(self, *hosts: tuple[str, str, str]) -> None:
        """Declares every name as the stack Edge does: permanent and proxied."""
        records = [
            {"name": name, "host": host, "type": "CNAME", "content": content, "proxied": True}
            for name, host, content in hosts
        ]
        document = {"kind": "records", "name": "dns", "owner": "production.dns", "zone": "example.com"}
        self.edge.ask("Create", {**document, "records": records})


@pytest.fixture
def hosting(edge: Edge) -> Hosting:
    # They conflict with no one: these names belong to the product.
    for identity in [key for key, each in edge.zone.records.items() if each["name"] == HOST]:
        if edge.zone.records[identity]["type"] in ("A", "AAAA", "CNAME"):
            del edge.zone.records[identity]
    return Hosting(edge)


def test_a_domain_without_its_validation_record_never_becomes_available(hosting: Hosting) -> None:
    """What CloudFormation's own type leaves behind: it is done when Amplify asks for the record."""
    setting = {"prefix": "", "branchName": "main"}
    hosting.amplify.create_domain_association(appId=hosting.app, domainName=HOST, subDomainSettings=[setting])
    statuses = [
        hosting.amplify.get_domain_association(appId=hosting.app, domainName=HOST)["domainAssociation"]["domainStatus"]
        for _ in range(50)
    ]
    assert statuses[:2] == ["REQUESTING_CERTIFICATE", "PENDING_VERIFICATION"]
    assert set(statuses[2:]) == {"PENDING_VERIFICATION"}


def test_it_is_available_at_the_end_and_neither_record_is_hidden_by_the_proxy(hosting: Hosting) -> None:
    made = hosting.ask("Create")
    assert hosting.status() == "AVAILABLE"
    assert made.attributes == {"Target": hosting.target()}
    ours = hosting.ours()
    assert ours[SITE] == (hosting.target(), False)
    content, proxied = ours["production.amplify-frontend.certificate"]
    assert content.endswith(".acm-validations.aws")
    assert not proxied


def test_the_edge_has_the_sites_record_proxied_afterwards_and_it_is_the_same_record(hosting: Hosting) -> None:
    hosting.declare_names(("media", "media.example.com", "bucket.example.net"))
    made = hosting.ask("Create")
    (before,) = [key for key, each in hosting.edge.zone.records.items() if each.get("comment") == SITE]
    hosting.declare_names(
        ("media", "media.example.com", "bucket.example.net"), ("frontend", HOST, made.attributes["Target"])
    )
    assert hosting.ours()[SITE] == (hosting.target(), True)
    assert before in hosting.edge.zone.records
    assert "production.dns.media" in hosting.ours()


def test_a_later_deployment_leaves_a_proxied_site_as_it_is(hosting: Hosting) -> None:
    made = hosting.ask("Create")
    hosting.declare_names(("frontend", HOST, made.attributes["Target"]))
    # Amplify checks again, and sees Cloudflare's addresses only.
    hosting.amplify.apps[hosting.app].domains[HOST].status = "AWAITING_APP_CNAME"
    assert hosting.edge.writes(lambda: hosting.ask("Update", made.physical_id)) == []
    assert hosting.ours()[SITE] == (hosting.target(), True)


def test_a_lost_validation_record_is_written_again(hosting: Hosting) -> None:
    made = hosting.ask("Create")
    records = hosting.edge.zone.records
    (lost,) = [key for key, each in records.items() if str(each.get("comment")).endswith(".certificate")]
    del records[lost]
    hosting.ask("Update", made.physical_id)
    assert "production.amplify-frontend.certificate" in hosting.ours()


def test_a_refusal_by_amplify_is_reported_in_its_words_and_leaves_nothing(hosting: Hosting) -> None:
    hosting.ask("Create")
    other = hosting.new_app()
    kept = hosting.ours()
    for key in [key for key, each in hosting.edge.zone.records.items() if each.get("comment") == SITE]:
        del hosting.edge.zone.records[key]
    with pytest.raises(NotAvailable, match="already associated with a different resource"):
        hosting.ask("Create", app=other)
    assert hosting.amplify.apps[other].domains == {}
    assert set(hosting.ours()) <= set(kept)


def test_a_name_that_leads_to_another_distribution_is_reported(hosting: Hosting) -> None:
    record = {"id": "x", "type": "CNAME", "name": HOST, "content": "dold.cloudfront.net", "proxied": False}
    hosting.edge.zone.records["x"] = {**record, "comment": None, "ttl": 1}
    with pytest.raises(NotAvailable, match="points to another CloudFront distribution"):
        hosting.ask("Create")
    assert hosting.amplify.apps[hosting.app].domains == {}
    assert hosting.ours() == {}


def test_running_out_of_the_hour_says_how_far_it_got_and_leaves_nothing(hosting: Hosting) -> None:
    began = hosting.edge.time.seconds
    hosting.slow_until = began + 24 * 3600
    with pytest.raises(NotAvailable, match="no further than PENDING_VERIFICATION"):
        hosting.ask("Create")
    assert 50 * 60 < hosting.edge.time.seconds - began < 60 * 60
    assert (hosting.amplify.apps[hosting.app].domains, hosting.ours()) == ({}, {})


def test_a_domain_that_takes_longer_than_one_invocation_is_waited_for(hosting: Hosting) -> None:
    hosting.slow_until = hosting.edge.time.seconds + 40 * 60
    hosting.ask("Create")
    assert hosting.status() == "AVAILABLE"
    assert len(hosting.asked) == 2


def test_a_name_without_a_cname_to_see_is_served_and_stops_no_deployment(hosting: Hosting) -> None:
    hosting.is_flattened = True
    began = hosting.edge.time.seconds
    made = hosting.ask("Create")
    assert hosting.status() == "AWAITING_APP_CNAME"
    assert made.attributes == {"Target": hosting.target()}
    assert 10 * 60 < hosting.edge.time.seconds - began < 30 * 60


def test_a_delete_takes_domain_and_records_and_may_come_twice(hosting: Hosting) -> None:
    made = hosting.ask("Create")
    hosting.ask("Delete", made.physical_id)
    assert (hosting.amplify.apps[hosting.app].domains, hosting.ours()) == ({}, {})
    hosting.ask("Delete", made.physical_id)


def test_the_edges_own_record_outlives_the_domain(hosting: Hosting) -> None:
    """The stack Edge deletes its record, or points it elsewhere, on its own."""
    made = hosting.ask("Create")
    hosting.declare_names(("frontend", HOST, made.attributes["Target"]))
    hosting.ask("Delete", made.physical_id)
    assert SITE in hosting.ours()


def test_another_branch_is_served_under_the_same_name(hosting: Hosting) -> None:
    made = hosting.ask("Create")
    hosting.declare_names(("frontend", HOST, made.attributes["Target"]))
    hosting.amplify.create_branch(hosting.app, "stable", framework=NEXT_SERVER)
    again = hosting.ask("Update", made.physical_id, branch="stable")
    assert again == made
    assert hosting.amplify.apps[hosting.app].domains[HOST].branch == "stable"
    assert hosting.ours()[SITE] == (hosting.target(), True)


def test_an_update_that_goes_back_at_once_waits_until_amplify_takes_another(hosting: Hosting) -> None:
    """Amplify refuses to change a domain that is UPDATING (amplify-hosting #3878), as a rollback would."""
    made = hosting.ask("Create")
    hosting.declare_names(("frontend", HOST, made.attributes["Target"]))
    hosting.amplify.create_branch(hosting.app, "stable", framework=NEXT_SERVER)
    setting = {"prefix": "", "branchName": "stable"}
    hosting.amplify.update_domain_association(appId=hosting.app, domainName=HOST, subDomainSettings=[setting])
    assert hosting.edge.writes(lambda: hosting.ask("Update", made.physical_id)) == []
    assert hosting.amplify.apps[hosting.app].domains[HOST].branch == "main"
    assert hosting.status() != "UPDATING", "the branch that is deleted next is no longer served"


def test_a_missing_branch_is_reported(hosting: Hosting) -> None:
    made = hosting.ask("Create")
    with pytest.raises(Exception, match="non-existent branch"):
        hosting.ask("Update", made.physical_id, branch="nowhere")


def test_another_app_is_another_domain(hosting: Hosting) -> None:
    made = hosting.ask("Create")
    hosting.ask("Delete", made.physical_id)
    assert hosting.ask("Create", app=hosting.new_app()).physical_id != made.physical_id


def test_users_of_a_site_that_moves_here_stay_where_they_are_until_it_is_built(hosting: Hosting) -> None:
    """The stack Edge sends users to it, after this stack is deployed."""
    hosting.declare_names(("frontend", HOST, "balancer.example.net"))
    hosting.amplify.start_job(appId=hosting.app, branchName="main", jobType="RELEASE")
    made = hosting.ask("Create")
    (build,) = hosting.amplify.apps[hosting.app].branches["main"]
    assert build["status"] == "SUCCEED"
    assert hosting.amplify.apps[hosting.app].domains[HOST].is_served
    assert made.attributes == {"Target": hosting.target()}
    assert hosting.ours()[SITE] == ("balancer.example.net", True)


@pytest.mark.parametrize("takes_over", [False, True], ids=["ours", "somebody else's"])
def test_a_site_that_is_not_built_takes_no_user_away(hosting: Hosting, takes_over: bool) -> None:
    record = {"id": "x", "type": "CNAME", "name": HOST, "content": "elsewhere.example.net", "proxied": True, "ttl": 1}
    hosting.edge.zone.records["x"] = {**record, "comment": None if takes_over else SITE}
    hosting.amplify.fails_to_build = True
    hosting.amplify.start_job(appId=hosting.app, branchName="main", jobType="RELEASE")
    with pytest.raises(NotAvailable, match="build 1 of main ended FAILED"):
        hosting.ask("Create", adopt=takes_over)
    assert hosting.edge.zone.records["x"]["content"] == "elsewhere.example.net"
    assert hosting.amplify.apps[hosting.app].domains == {}


def test_a_deployment_that_goes_back_leaves_users_where_they_were(hosting: Hosting) -> None:
    """Another resource of the stack has failed, and CloudFormation deletes what it has made."""
    hosting.declare_names(("frontend", HOST, "balancer.example.net"))
    hosting.amplify.start_job(appId=hosting.app, branchName="main", jobType="RELEASE")
    made = hosting.ask("Create")
    hosting.ask("Delete", made.physical_id)
    assert hosting.ours() == {SITE: ("balancer.example.net", True)}
