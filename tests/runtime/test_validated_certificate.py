"""A certificate without manual steps, and none left behind."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from infra_runtime.cloudflare.api import Api
from infra_runtime.custom_resource import Request, Result
from infra_runtime.invocations import Invocation
from infra_runtime.validated_certificate import AcmCertificates, NotIssued, provide
from tests.runtime.conftest import Edge
from tests.runtime.fakes import Acm


class Issuing:
    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.is_visible = True
        self.slow_until = 0.0
        """Time until which ACM does not see the records."""
        self.asked: list[Mapping[str, Any]] = []
        """The events that the function has sent to itself."""
        self.acm = Acm(self.is_published)

    def is_published(self, name: str) -> bool:
        is_time = self.edge.time.seconds >= self.slow_until
        return is_time and self.is_visible and any(each["name"] == name for each in self.records())

    def records(self) -> list[Mapping[str, Any]]:
        return [each for each in self.edge.zone.records.values() if each["name"].startswith("_v.")]

    def ask(self, kind: Any, hosts: list[str], arn: str | None = None) -> Result:
        document = {"owner": "production.certificate", "zone": "example.com", "hosts": hosts}
        request = Request(kind, {"Document": json.dumps(document)}, arn)

        def invoke(api: Api, invocation: Invocation) -> Result | None:
            return provide(request, AcmCertificates(self.acm, api, self.edge.time.clock), invocation, self.asked.append)

        return self.edge.over_invocations(self.asked, invoke)


@pytest.fixture
def issuing(edge: Edge) -> Issuing:
    return Issuing(edge)


API, SITE, OTHER = "api.example.com", "example.com", "www.example.com"


def test_it_is_issued_for_records_that_are_never_proxied(issuing: Issuing) -> None:
    made = issuing.ask("Create", [API, SITE])
    assert issuing.acm.certificates[made.physical_id]["Status"] == "ISSUED"
    assert {each["name"]: each["proxied"] for each in issuing.records()} == {f"_v.{API}": False, f"_v.{SITE}": False}


def test_the_same_hosts_are_the_same_certificate(issuing: Issuing) -> None:
    made = issuing.ask("Create", [API, SITE])
    again = issuing.ask("Update", [SITE, API], made.physical_id)
    assert again.physical_id == made.physical_id


def test_other_hosts_are_another_one_and_what_both_need_stays(issuing: Issuing) -> None:
    old = issuing.ask("Create", [API, SITE])
    new = issuing.ask("Update", [API, OTHER], old.physical_id)
    assert new.physical_id != old.physical_id
    issuing.acm.in_use = ["the listener"] * 2
    issuing.ask("Delete", [API, SITE], old.physical_id)
    assert list(issuing.acm.certificates) == [new.physical_id]
    assert {each["name"] for each in issuing.records()} == {f"_v.{API}", f"_v.{OTHER}"}
    issuing.ask("Delete", [API, OTHER], new.physical_id)
    assert (issuing.acm.certificates, issuing.records()) == ({}, [])


def test_a_refusal_names_the_reason_and_leaves_nothing(issuing: Issuing) -> None:
    issuing.acm.refused = True
    with pytest.raises(NotIssued, match="CAA_ERROR"):
        issuing.ask("Create", [API])
    assert (issuing.acm.certificates, issuing.records()) == ({}, [])


def test_running_out_of_time_leaves_nothing_and_an_update_keeps_the_old_one(issuing: Issuing) -> None:
    old = issuing.ask("Create", [API])
    issuing.is_visible = False
    with pytest.raises(NotIssued, match="has not found the validation records yet"):
        issuing.ask("Update", [API, OTHER], old.physical_id)
    assert list(issuing.acm.certificates) == [old.physical_id]
    issuing.is_visible = True
    issuing.ask("Update", [API], old.physical_id)
    assert {each["name"] for each in issuing.records()} == {f"_v.{API}"}


def test_a_certificate_that_takes_longer_than_one_invocation_is_waited_for(issuing: Issuing) -> None:
    issuing.slow_until = issuing.edge.time.seconds + 50 * 60
    made = issuing.ask("Create", [API, SITE])
    assert issuing.acm.certificates[made.physical_id]["Status"] == "ISSUED"
    assert list(issuing.acm.certificates) == [made.physical_id]
    assert len(issuing.asked) == 5


def test_cloudformation_gets_its_answer_within_the_hour_that_it_waits(issuing: Issuing) -> None:
    began = issuing.edge.time.seconds
    issuing.slow_until = began + 24 * 3600
    with pytest.raises(NotIssued, match="has not found the validation records yet"):
        issuing.ask("Create", [API])
    assert 50 * 60 < issuing.edge.time.seconds - began < 60 * 60
    assert (issuing.acm.certificates, issuing.records()) == ({}, [])


def test_a_zone_that_is_gone_does_not_hold_a_delete_up(issuing: Issuing) -> None:
    made = issuing.ask("Create", [API])
    issuing.edge.world.zones.clear()
    issuing.ask("Delete", [API], made.physical_id)
    assert issuing.acm.certificates == {}
