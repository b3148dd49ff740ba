"""Cloudflare always has a certificate to show: renewed long before its end, and never a moment without."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from infra_runtime.authority import ClientCertificateAuthority
from infra_runtime.custom_resource import PartlyCreated, Request
from infra_runtime.origin_lock import Lock, close, provide
from simulators.cloudflare.origin_pulls import OriginPullCertificates
from tests.runtime.conftest import Edge
from tests.runtime.fakes import NOW, S3, SecretsManager

HOSTS = ["api.example.com", "example.com"]
DOCUMENT = {
    "owner": "production", "zone": "example.com", "hosts": HOSTS, "secret": "ca", "bucket": "trust", "key": "ca.pem",
}  # fmt: skip


@pytest.fixture
def lock(edge: Edge) -> Lock:
    return Lock(edge.api(), SecretsManager("generated"), S3("trust"), NOW)


def shown(edge: Edge) -> set[str]:
    """Ids of the certificates in use; every host has one."""
    assert set(edge.zone.associations) >= set(HOSTS)
    assert all(edge.zone.associations[host]["enabled"] for host in HOSTS)
    return {edge.zone.associations[host]["cert_id"] for host in HOSTS}


def after(lock: Lock, edge: Edge, **passed: Any) -> Lock:
    return replace(lock, now=NOW + timedelta(**passed), api=edge.api())


def test_the_first_run_makes_all_and_the_next_changes_nothing(edge: Edge, lock: Lock) -> None:
    close(DOCUMENT, lock)
    authority = x509.load_pem_x509_certificate(lock.s3.objects["trust", "ca.pem"])
    for identity in shown(edge):
        leaf = x509.load_pem_x509_certificate(edge.zone.client_certificates[identity]["certificate"].encode())
        leaf.verify_directly_issued_by(authority)
    assert edge.writes(lambda: close(DOCUMENT, after(lock, edge, days=1))) == []


def test_it_is_renewed_four_months_before_its_end_and_the_old_one_goes_a_day_later(edge: Edge, lock: Lock) -> None:
    close(DOCUMENT, lock)
    (first,) = shown(edge)
    close(DOCUMENT, after(lock, edge, days=240))
    assert shown(edge) == {first}
    close(DOCUMENT, after(lock, edge, days=250))
    (second,) = shown(edge)
    assert second != first
    assert set(edge.zone.client_certificates) == {first, second}
    close(DOCUMENT, after(lock, edge, days=252))
    assert set(edge.zone.client_certificates) == {second}


def test_certificates_of_others_stay(edge: Edge, lock: Lock) -> None:
    theirs = OriginPullCertificates(edge.zone, edge.time.seconds).upload(
        ClientCertificateAuthority.create("theirs", now=NOW).issue("them", now=NOW)
    )
    OriginPullCertificates(edge.zone, edge.time.seconds).associate(
        [{"hostname": "shop.example.com", "cert_id": theirs["id"], "enabled": True}]
    )
    made = provide(Request("Create", {"Document": json.dumps(DOCUMENT)}, None), lock)
    provide(Request("Delete", {"Document": json.dumps(DOCUMENT)}, made.physical_id), after(lock, edge, days=1))
    assert set(edge.zone.associations) == {"shop.example.com"}
    assert set(edge.zone.client_certificates) == {theirs["id"]}


def test_one_of_others_in_our_way_is_named(edge: Edge, lock: Lock) -> None:
    theirs = OriginPullCertificates(edge.zone, edge.time.seconds).upload(
        ClientCertificateAuthority.create("theirs", now=NOW).issue("them", now=NOW)
    )
    OriginPullCertificates(edge.zone, edge.time.seconds).associate(
        [{"hostname": HOSTS[0], "cert_id": theirs["id"], "enabled": True}]
    )
    with pytest.raises(PartlyCreated, match=f"a foreign one is already associated.*{theirs['id']}"):
        provide(Request("Create", {"Document": json.dumps(DOCUMENT)}, None), lock)
    provide(Request("Create", {"Document": json.dumps(DOCUMENT | {"adopt": True})}, None), after(lock, edge))
    assert theirs["id"] not in shown(edge)


def test_an_added_host_is_one_write(edge: Edge, lock: Lock) -> None:
    close(DOCUMENT, lock)
    more = DOCUMENT | {"hosts": [*HOSTS, "www.example.com"]}
    assert edge.writes(lambda: close(more, after(lock, edge))) == [
        f"PUT /zones/{edge.zone.id}/origin_tls_client_auth/hostnames"
    ]
    assert edge.zone.associations["www.example.com"]["cert_id"] in shown(edge)


def test_the_private_key_is_nowhere_but_at_cloudflare(edge: Edge, lock: Lock) -> None:
    close(DOCUMENT, lock)
    (identity,) = shown(edge)
    key = edge.zone.client_certificates[identity]["private_key"]
    kept = json.dumps([lock.secrets_manager.values, str(lock.s3.objects), edge.store.values])
    assert "PRIVATE KEY" in kept  # the CA's own
    assert key.splitlines()[1] not in kept


def test_a_certificate_that_is_still_being_deployed_or_still_in_use_is_waited_for(edge: Edge, lock: Lock) -> None:
    edge.zone.certificate_seconds = 60
    made = provide(Request("Create", {"Document": json.dumps(DOCUMENT)}, None), lock)
    provide(Request("Delete", {"Document": json.dumps(DOCUMENT)}, made.physical_id), after(lock, edge))
    assert edge.zone.client_certificates == {}
    assert 60 <= sum(edge.time.slept) < 120
