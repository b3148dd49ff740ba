"""Custom resource: an ACM certificate, and its validation records in the Cloudflare zone.

AWS::CertificateManager::Certificate waits for records whose names only ACM knows, after the request.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra_runtime.aws import client
from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import converge
from infra_runtime.cloudflare.records import Records
from infra_runtime.custom_resource import Request, Result
from infra_runtime.invocations import Invocation, invoke_itself, serve_over_invocations
from infra_runtime.reporting import reported
from infra_runtime.vendor_api import Clock

_POLL_SECONDS = 3
_CLEAN_UP_SECONDS = 60
_ALIVE = ("PENDING_VALIDATION", "ISSUED")


class NotIssued(Exception):
    """ACM refused the certificate, or did not answer in time."""


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    serve_over_invocations(
        event,
        context,
        lambda request, api, invocation: provide(
            request, AcmCertificates(client("acm"), api), invocation, invoke_itself
        ),
    )


@dataclass(frozen=True)
class AcmCertificates:
    acm: Any
    api: Api
    clock: Clock = field(default_factory=Clock)

    def of(self, arn: str) -> dict[str, Any]:
        found: dict[str, Any] = self.acm.describe_certificate(CertificateArn=arn)["Certificate"]
        return found

    def request(self, hosts: Sequence[str], owner: str) -> str:
        wanted = hashlib.sha256(json.dumps([owner, *hosts]).encode()).hexdigest()[:32]
        more = {"SubjectAlternativeNames": list(hosts[1:])} if hosts[1:] else {}
        arn: str = self.acm.request_certificate(
            DomainName=hosts[0],
            ValidationMethod="DNS",
            # The same event delivered twice within the hour gets the same certificate.
            IdempotencyToken=wanted,
            Tags=[{"Key": "owner", "Value": owner}],
            **more,
        )["CertificateArn"]
        return arn

    def validation(self, arn: str) -> dict[str, dict[str, str]]:
        """The record for each host. ACM takes some seconds to generate them."""
        while True:
            options = self.of(arn).get("DomainValidationOptions") or []
            if options and all("ResourceRecord" in each for each in options):
                return {each["DomainName"]: each["ResourceRecord"] for each in options}
            self.api.wait(_POLL_SECONDS, "ACM has not named the validation records yet")

    def wait_until_issued(self, arn: str) -> bool:
        """False when only the time for cleaning up is left. Raises `NotIssued` when ACM refuses."""
        while (found := self.of(arn))["Status"] != "ISSUED":
            if found["Status"] != "PENDING_VALIDATION":
                raise NotIssued(f"{found['DomainName']}: {found['Status']} {found.get('FailureReason', '')}".strip())
            if self.api.deadline - self.clock.now() < _CLEAN_UP_SECONDS:
                return False
            self.api.wait(_POLL_SECONDS, f"{found['DomainName']} is not issued yet")
        return True

    def still_needed(self, besides: str) -> dict[str, dict[str, str]]:
        """Records with which ACM renews other certificates of the account: the same host has the same record."""
        pages = self.acm.get_paginator("list_certificates").paginate(CertificateStatuses=list(_ALIVE))
        arns = [each["CertificateArn"] for page in pages for each in page["CertificateSummaryList"]]
        return {
            option["DomainName"]: option["ResourceRecord"]
            for arn in arns
            if arn != besides
            for option in self.of(arn).get("DomainValidationOptions") or []
            if "ResourceRecord" in option
        }

    def delete(self, arn: str) -> None:
        """Waits until the load balancer no longer uses it."""
        while True:
            try:
                self.acm.delete_certificate(CertificateArn=arn)
            except self.acm.exceptions.ResourceNotFoundException:
                return
            except self.acm.exceptions.ResourceInUseException:
                self.api.wait(_POLL_SECONDS, f"{arn} is still in use")
            else:
                return


def provide(
    request: Request,
    certificates: AcmCertificates,
    invocation: Invocation,
    invoke_itself: Callable[[Mapping[str, Any]], None],
) -> Result | None:
    """The physical id is the certificate's ARN: other hosts are another certificate.

    None when the next invocation goes on: the same event finds the same certificate, by ACM's idempotency token.
    """
    document = json.loads(request.properties["Document"])
    if request.kind == "Delete":
        return _delete(document, str(request.physical_id), certificates)
    zone = zones.find(certificates.api, document["zone"])
    arn = request.physical_id
    is_new = arn is None or set(certificates.of(arn)["SubjectAlternativeNames"]) != set(document["hosts"])
    if is_new:
        arn = certificates.request(document["hosts"], document["owner"])
    assert arn is not None  # noqa: S101
    try:
        _write_records(document, zone.id, certificates.validation(arn), certificates.api)
        if not certificates.wait_until_issued(arn):
            if invocation.is_last:
                raise NotIssued(f"{document['hosts'][0]}: ACM has not found the validation records yet")
            invoke_itself(invocation.following)
            return None
    except Exception as error:
        if is_new:
            # CloudFormation does not know of it yet, and would not delete it.
            try:
                _delete(document, arn, certificates)
            except Exception as another:
                raise type(error)(f"{error}; and {arn} could not be deleted: {another}") from error
        raise
    return Result(arn, {"Arn": arn})


def _delete(document: Mapping[str, Any], arn: str, certificates: AcmCertificates) -> Result:
    certificates.delete(arn)
    keep = certificates.still_needed(besides=arn)
    for zone in zones.named(certificates.api, document["zone"]):
        ours = {
            str(each["comment"]).removeprefix(f"{document['owner']}.")
            for each in certificates.api.pages(f"/zones/{zone.id}/dns_records")
            if str(each.get("comment") or "").startswith(f"{document['owner']}.")
        }
        kept = {host: record for host, record in keep.items() if host in ours}
        _write_records(document, zone.id, kept, certificates.api)
    return Result(arn)


def _write_records(
    document: Mapping[str, Any], zone: str, validation: Mapping[str, Mapping[str, str]], api: Api
) -> None:
    records = [
        {
            "name": host,
            "host": record["Name"].rstrip("."),
            "type": record["Type"],
            "content": record["Value"].rstrip("."),
            # Proxied, it would answer with Cloudflare's addresses, and ACM would never see it.
            "proxied": False,
        }
        for host, record in validation.items()
    ]
    declared = {"owner": document["owner"], "adopt": document.get("adopt"), "records": records}
    converge(api, Records(api, zone, declared), present=True)
