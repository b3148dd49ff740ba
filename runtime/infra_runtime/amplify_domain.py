"""Custom resource: the custom domain of a site on Amplify, and its records in the Cloudflare zone.

CloudFormation's own type is not enough. AWS::Amplify::Domain returns while the certificate waits for a record that
does not exist yet, does not return the target of the site's record, and fails an update of a domain that is not
AVAILABLE (its source: aws-cloudformation-resource-providers-amplify, CreateHandler, UpdateHandler,
aws-amplify-domain.json).

Amplify wants to see two records: one that validates the certificate, and one that leads from the site's name to its
CloudFront distribution. A proxied record hides its target. So the site's record is written unproxied here,
and the edge's stack, which declares it for good, has it proxied once the domain is available. The validation record
stays unproxied, as ACM reads it again before each renewal.

A name under which users reach something else today is left as it is: they would reach a site that is not built yet, and
a rollback would leave them without a record. Here the site gets ready, and the edge's stack leads them to it.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from infra_runtime.aws import client
from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import converge
from infra_runtime.cloudflare.normal import host as plain
from infra_runtime.cloudflare.records import ADDRESSES, Records
from infra_runtime.custom_resource import Request, Result
from infra_runtime.invocations import Invocation, invoke_itself, serve_over_invocations
from infra_runtime.reporting import reported

# Amplify and CloudFront take 10 to 30 minutes for all of it.
_POLL_SECONDS = 5
_CLEAN_UP_SECONDS = 90
# Amplify sees the site's record within minutes, or never: Cloudflare answers for a zone's apex with addresses instead
# of a CNAME. The site is served all the same.
_AWAITED_SECONDS = 600
# Amplify's words when an update finds UPDATING or another status on the way (amplify-hosting #3878).
_BEING_CHANGED = "Cannot update domain while"

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


class NotAvailable(Exception):
    """Amplify refused the domain, or did not make it available in time."""


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    serve_over_invocations(
        event,
        context,
        lambda request, api, invocation: provide(request, client("amplify"), api, invocation, invoke_itself),
    )


@dataclass(frozen=True)
class Association:
    """What Amplify says about a domain."""

    status: str
    reason: str
    validation: tuple[str, str] | None
    """Name and content of the record that validates the certificate, once Amplify knows it."""
    target: str | None
    """Host name of the CloudFront distribution that serves the site, once there is one."""
    branch: str

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Association":
        record = found.get("certificateVerificationDNSRecord")
        name, content = (record.split()[0], record.split()[-1]) if record else ("", "")
        # "www CNAME d111.cloudfront.net"; without a prefix, the first word is missing.
        targets = [each["dnsRecord"].split()[-1] for each in found["subDomains"] if each.get("dnsRecord")]
        known = [each for each in targets if each.endswith(".cloudfront.net")]
        return cls(
            status=found["domainStatus"],
            reason=found.get("statusReason") or "",
            validation=(name.rstrip("."), content.rstrip(".")) if record else None,
            target=known[0] if known else None,
            branch=found["subDomains"][0]["subDomainSetting"]["branchName"],
        )


@dataclass(frozen=True)
class SiteDomain:
    """One host, at Amplify and in the zone."""

    amplify: Any
    api: Api
    document: Mapping[str, Any]
    """app, branch, host; zone, adopt; `owner` of the validation record; `site`: owner and name of the site's record."""

    def association(self) -> Association | None:
        """As Amplify reports it; None where there is none yet."""
        try:
            answer = self.amplify.get_domain_association(appId=self.document["app"], domainName=self.document["host"])
        except self.amplify.exceptions.NotFoundException:
            return None
        return Association.of(answer["domainAssociation"])

    def associate(self) -> None:
        """The host itself is the domain: apps of other environments keep their own names in the zone."""
        self.amplify.create_domain_association(
            appId=self.document["app"],
            domainName=self.document["host"],
            enableAutoSubDomain=False,
            subDomainSettings=self._settings,
        )

    def serve_branch(self) -> None:
        """Points the domain to the declared branch. Does nothing yet while Amplify changes the domain."""
        try:
            self.amplify.update_domain_association(
                appId=self.document["app"], domainName=self.document["host"], subDomainSettings=self._settings
            )
        except self.amplify.exceptions.BadRequestException as error:
            if _BEING_CHANGED not in str(error):
                raise
            logger.info("%s: %s", self.document["host"], error)

    @property
    def _settings(self) -> list[dict[str, str]]:
        return [{"prefix": "", "branchName": self.document["branch"]}]

    def dissociate(self) -> None:
        try:
            self.amplify.delete_domain_association(appId=self.document["app"], domainName=self.document["host"])
        except self.amplify.exceptions.NotFoundException:
            return

    def write_validation(self, zone: str, record: tuple[str, str] | None) -> None:
        """None removes it."""
        records = [{"name": "certificate", "host": record[0], "content": record[1]}] if record else []
        converge(self.api, self._records(Records, zone, self.document["owner"], records), present=True)

    def leads_elsewhere(self, zone: str, target: str) -> bool:
        """Whether users reach something else under the name, which this deployment may change."""
        site = self.document["site"]
        marker = "{owner}.{name}".format(**site)
        return any(
            plain(each["name"]) == plain(self.document["host"])
            and each["type"] in ADDRESSES
            and plain(each["content"]) != plain(target)
            and (each.get("comment") == marker or bool(self.document.get("adopt")))
            for each in self.api.pages(f"/zones/{zone}/dns_records")
        )

    def is_built(self) -> bool:
        """Raises `NotAvailable` if the newest build has failed."""
        pages = self.amplify.get_paginator("list_jobs").paginate(
            appId=self.document["app"], branchName=self.document["branch"]
        )
        builds = sorted((each for page in pages for each in page["jobSummaries"]), key=lambda each: int(each["jobId"]))
        if builds and builds[-1]["status"] in ("FAILED", "CANCELLED"):
            text = f"build {builds[-1]['jobId']} of {self.document['branch']} ended {builds[-1]['status']}"
            raise NotAvailable(f"{self.document['host']}: {text}; users still reach what they reached before")
        return bool(builds) and builds[-1]["status"] == "SUCCEED"

    def write_site(self, zone: str, target: str) -> None:
        site = self.document["site"]
        record = {"name": site["name"], "host": self.document["host"], "content": target}
        converge(self.api, self._records(_OneOfSeveral, zone, site["owner"], [record]), present=True)

    def remove_site(self, zone: str, target: str) -> None:
        """Deletes the site's record, unless it has another target by now, or is proxied and so the edge's."""
        marker = "{owner}.{name}".format(**self.document["site"])
        path = f"/zones/{zone}/dns_records"
        for each in self.api.pages(path):
            if each.get("comment") == marker and each["content"] == target and not each["proxied"]:
                self.api.delete(f"{path}/{each['id']}")

    def _records(self, kind: type[Records], zone: str, owner: str, records: list[dict[str, str]]) -> Records:
        unproxied = [{**each, "type": "CNAME", "proxied": False} for each in records]
        return kind(self.api, zone, {"owner": owner, "adopt": self.document.get("adopt"), "records": unproxied})


class _OneOfSeveral(Records):
    """Writes one of the records that the edge's stack declares together, and leaves the others alone."""

    def _is_ours(self, record: Mapping[str, Any]) -> bool:
        return record.get("comment") in [self._marker(each["name"]) for each in self.declared["records"]]


def provide(
    request: Request, amplify: Any, api: Api, invocation: Invocation, invoke_itself: Callable[[Mapping[str, Any]], None]
) -> Result | None:
    """The physical id is app and host: another one of either is another domain. None to go on in another invocation."""
    document = json.loads(request.properties["Document"])
    domain = SiteDomain(amplify, api, document)
    if request.kind == "Delete":
        _delete(domain)
        return Result(str(request.physical_id))
    zone = zones.find(api, document["zone"])
    physical_id = f"{document['app']}/{document['host']}"
    is_new = request.physical_id != physical_id
    try:
        found = _available(domain, zone.id, invocation, is_new=is_new)
    except Exception as error:
        if is_new:
            # CloudFormation does not know of it yet, and would not delete it.
            try:
                _delete(domain)
            except Exception as another:
                raise type(error)(f"{error}; and what it had created could not be deleted: {another}") from error
        raise
    if found is None:
        invoke_itself(invocation.following)
        return None
    return Result(physical_id, {"Target": str(found.target)})


def _available(domain: SiteDomain, zone: str, invocation: Invocation, *, is_new: bool) -> Association | None:
    """None when this invocation ends before the domain is available. Raises `NotAvailable`."""
    host, api = domain.document["host"], domain.api
    validated, led_to, led_at = False, None, 0.0
    while True:
        found = domain.association()
        if found is None:
            domain.associate()
            continue
        if found.status == "FAILED":
            raise NotAvailable(f"{host}: Amplify says: {found.reason or 'FAILED, without a reason'}")
        serves_branch = found.branch == domain.document["branch"]
        if not serves_branch:
            domain.serve_branch()
        if found.validation and not validated:
            domain.write_validation(zone, found.validation)
            validated = True
        # A record that users already reach stays proxied, even if Amplify reports an error.
        is_settled = found.status == "AVAILABLE" if is_new else found.status != "UPDATING"
        if found.target and serves_branch and is_settled:
            return found
        if is_new and found.target and domain.leads_elsewhere(zone, found.target):
            # The distribution is deployed when Amplify waits for nothing but the name.
            if found.status == "AWAITING_APP_CNAME" and domain.is_built():
                return found
        elif is_new and found.target and found.target != led_to:
            domain.write_site(zone, found.target)
            led_to, led_at = found.target, api.clock.now()
        if led_to and found.status == "AWAITING_APP_CNAME" and api.clock.now() - led_at > _AWAITED_SECONDS:
            logger.warning("%s is served, and AWAITING_APP_CNAME at Amplify", host)
            return found
        if api.deadline - api.clock.now() < _CLEAN_UP_SECONDS:
            if invocation.is_last:
                raise NotAvailable(f"{host}: within the hour Amplify got no further than {found.status}")
            return None
        api.wait(_POLL_SECONDS, f"{host} is {found.status} at Amplify")


def _delete(domain: SiteDomain) -> None:
    found = domain.association()
    domain.dissociate()
    for zone in zones.named(domain.api, domain.document["zone"]):
        domain.write_validation(zone.id, None)
        if found and found.target:
            domain.remove_site(zone.id, found.target)
