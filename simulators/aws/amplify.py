"""AWS Amplify Hosting as its API shows it: apps, branches, builds and custom domains.

Sources: the API reference ("DomainAssociation", "Job"); answers that others have recorded (balionis/aws8: CREATING,
`dev CNAME <pending>`, AWAITING_APP_CNAME); aws-amplify/amplify-hosting #821 and #1097 for the two ways to fail, #911
and #2154 for the first build, #3708 and #3877 for a build whose branch is not known as one of Next.js's server, #3878
for a domain that is changed while it is UPDATING, and aws-sdk-php #3054 for one that leads to no branch. How long
UPDATING lasts is not documented; here it is two reads.
"""

import hashlib
import json
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from ministack.core.responses import get_account_id, get_region

NEXT_SERVER = "Next.js - SSR"
"""Framework of a branch whose site Next.js renders on a server."""
_PENDING = "<pending>"
_TAKEN = "One or more of the CNAMEs you provided are already associated with a different resource."
_POINTS_ELSEWHERE = (
    "One or more aliases specified for the distribution includes an incorrectly configured DNS record that points to "
    "another CloudFront distribution. You must update the DNS record to correct the problem."
)


class AmplifyError(Exception):
    """An error in the API's own form."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _missing(what: str) -> AmplifyError:
    return AmplifyError("NotFoundException", f"{what} not found.")


@dataclass
class Domain:
    host: str
    branch: str
    prefix: str
    target: str
    """The CloudFront distribution that serves it."""
    status: str = "CREATING"
    reason: str = ""
    updating: int = 0
    """Number of reads that still find it UPDATING."""

    @property
    def validation(self) -> tuple[str, str]:
        """Name and value. The same for the same name, whichever app asks (balionis/aws8)."""
        digest = hashlib.sha256(self.host.encode()).hexdigest()
        return f"_{digest[:32]}.{self.host}.", f"_{digest[32:]}.acm-validations.aws."

    @property
    def is_served(self) -> bool:
        """The status lags behind: CloudFront serves a domain that still awaits its CNAME."""
        return self.status in ("AWAITING_APP_CNAME", "AVAILABLE", "UPDATING")


@dataclass
class App:
    name: str
    arn: str
    variables: Mapping[str, str] = field(default_factory=dict)
    branches: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Builds of each, oldest first."""
    frameworks: dict[str, str] = field(default_factory=dict)
    """Framework of each branch."""
    domains: dict[str, Domain] = field(default_factory=dict)


@dataclass
class AmplifyHosting:
    """One region of one account."""

    cnames: Callable[[str], list[str]]
    """DNS answers of a public resolver for a name."""
    apps: dict[str, App] = field(default_factory=dict)
    fails_to_build: bool = False

    # -- Resources that CloudFormation's types create

    def create_app(self, name: str, *, arn_prefix: str, variables: Mapping[str, str]) -> str:
        identity = f"d{uuid4().hex[:13]}"
        self.apps[identity] = App(name, f"{arn_prefix}:apps/{identity}", variables)
        return identity

    def create_branch(self, app_id: str, branch: str, *, framework: str) -> None:
        """Creates the branch without a build: a branch of CloudFormation waits for a push or for StartJob."""
        app = self._app(app_id)
        app.branches.setdefault(branch, [])
        app.frameworks[branch] = framework

    def delete_branch(self, app_id: str, branch: str) -> None:
        """Deletes the branch. Does nothing if the app is deleted: its branches were deleted with it."""
        if app_id in self.apps:
            self.apps[app_id].branches.pop(branch, None)

    # -- The API

    def get_app(self, *, appId: str) -> dict[str, Any]:  # noqa: N803
        app = self._app(appId)
        found = {"appId": appId, "appArn": app.arn, "name": app.name, "environmentVariables": dict(app.variables)}
        return {"app": found}

    def create_domain_association(
        self,
        *,
        appId: str,  # noqa: N803
        domainName: str,  # noqa: N803
        subDomainSettings: list[dict[str, str]],  # noqa: N803
        **_: Any,
    ) -> dict[str, Any]:
        app, (setting,) = self._app(appId), subDomainSettings
        if domainName in app.domains:
            raise AmplifyError("BadRequestException", f"Domain {domainName} is already associated with app {appId}")
        self._branch(appId, setting["branchName"])
        target = f"d{uuid4().hex[:13]}.cloudfront.net"
        app.domains[domainName] = Domain(domainName, setting["branchName"], setting["prefix"], target)
        return self._answer(app, app.domains[domainName])

    def get_domain_association(self, *, appId: str, domainName: str) -> dict[str, Any]:  # noqa: N803
        """Each read moves the domain to its next state, if its conditions are met."""
        app = self._app(appId)
        domain = self._domain(app, domainName)
        self._step(domain)
        return self._answer(app, domain)

    def update_domain_association(
        self,
        *,
        appId: str,  # noqa: N803
        domainName: str,  # noqa: N803
        subDomainSettings: list[dict[str, str]],  # noqa: N803
    ) -> dict[str, Any]:
        app, (setting,) = self._app(appId), subDomainSettings
        domain = self._domain(app, domainName)
        if domain.status not in ("AVAILABLE", "AWAITING_APP_CNAME", "FAILED"):
            text = f"Cannot update domain while the domain is in {domain.status} status."
            raise AmplifyError("BadRequestException", text)
        if setting["branchName"] not in app.branches:
            raise AmplifyError("BadRequestException", "A subdomain cannot point to a non-existent branch")
        domain.branch, domain.prefix, domain.status = setting["branchName"], setting["prefix"], "UPDATING"
        domain.updating = 1
        return self._answer(app, domain)

    def delete_domain_association(self, *, appId: str, domainName: str) -> dict[str, Any]:  # noqa: N803
        app = self._app(appId)
        domain = self._domain(app, domainName)
        del app.domains[domainName]
        return self._answer(app, domain)

    def start_job(self, *, appId: str, branchName: str, jobType: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        builds = self._branch(appId, branchName)
        number = len(builds) + 1
        build = {
            "jobArn": f"{self.apps[appId].arn}/branches/{branchName}/jobs/{number:010}",
            "jobId": str(number),
            "commitId": "HEAD",
            "commitMessage": "",
            "commitTime": datetime.now(UTC).timestamp(),
            "startTime": datetime.now(UTC).timestamp(),
            "status": "PENDING",
            "jobType": jobType,
        }
        builds.append(build)
        return {"jobSummary": dict(build)}

    def list_jobs(self, *, appId: str, branchName: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        """Builds, the newest first. Each read moves a running build to its next state."""
        builds = self._branch(appId, branchName)
        fails = self.fails_to_build or self.apps[appId].frameworks[branchName] != NEXT_SERVER
        answer = [dict(each) for each in reversed(builds)]
        for build in builds:
            if build["status"] == "PENDING":
                build["status"] = "RUNNING"
            elif build["status"] == "RUNNING":
                build["status"] = "FAILED" if fails else "SUCCEED"
        return {"jobSummaries": answer}

    # -- States of a domain

    def _step(self, domain: Domain) -> None:
        match domain.status:
            case "CREATING":
                domain.status = "REQUESTING_CERTIFICATE"
            case "REQUESTING_CERTIFICATE":
                domain.status = "PENDING_VERIFICATION"
            case "PENDING_VERIFICATION":
                name, value = domain.validation
                if value.rstrip(".") in self.cnames(name.rstrip(".")):
                    self._deploy(domain)
            case "UPDATING" if domain.updating > 0:
                domain.updating -= 1
            case "PENDING_DEPLOYMENT" | "UPDATING":
                domain.status = "AWAITING_APP_CNAME"
            case "AWAITING_APP_CNAME":
                # A proxied record answers with Cloudflare's addresses, and there is no CNAME to be seen.
                if domain.target in self.cnames(domain.host):
                    domain.status = "AVAILABLE"

    def _deploy(self, domain: Domain) -> None:
        of_host = [each.domains[domain.host] for each in self.apps.values() if domain.host in each.domains]
        others = [each for each in self.cnames(domain.host) if each.endswith(".cloudfront.net")]
        if any(each is not domain and each.is_served for each in of_host):
            domain.status, domain.reason = "FAILED", _TAKEN
        elif others and domain.target not in others:
            domain.status, domain.reason = "FAILED", _POINTS_ELSEWHERE
        else:
            domain.status = "PENDING_DEPLOYMENT"

    @staticmethod
    def _answer(app: App, domain: Domain) -> dict[str, Any]:
        is_asked_for = domain.status not in ("CREATING", "REQUESTING_CERTIFICATE")
        has_target = domain.is_served or domain.status == "PENDING_DEPLOYMENT"
        name, value = domain.validation
        found = {
            "domainAssociationArn": f"{app.arn}/domains/{domain.host}",
            "domainName": domain.host,
            "enableAutoSubDomain": False,
            "domainStatus": domain.status,
            "statusReason": domain.reason,
            "subDomains": [
                {
                    "subDomainSetting": {"prefix": domain.prefix, "branchName": domain.branch},
                    "verified": domain.status == "AVAILABLE",
                    "dnsRecord": f"{domain.prefix} CNAME {domain.target if has_target else _PENDING}",
                }
            ],
        }
        if is_asked_for:
            found["certificateVerificationDNSRecord"] = f"{name} CNAME {value}"
        return {"domainAssociation": found}

    def _app(self, app_id: str) -> App:
        if app_id not in self.apps:
            raise _missing(f"App {app_id}")
        return self.apps[app_id]

    def _branch(self, app_id: str, branch: str) -> list[dict[str, Any]]:
        branches = self._app(app_id).branches
        if branch not in branches:
            raise _missing(f"Branch {branch} of app {app_id}")
        return branches[branch]

    @staticmethod
    def _domain(app: App, host: str) -> Domain:
        if host not in app.domains:
            raise _missing(f"Domain {host}")
        return app.domains[host]


def needs(action: str, path: str, body: bytes) -> Iterator[tuple[str, str]]:
    """(action, resource) of a call, as the Service Authorization Reference has them."""
    parts = urllib.parse.unquote(path).strip("/").split("/")
    if action == "amplify:CreateDomainAssociation":
        parts.append(json.loads(body)["domainName"])
    elif action == "amplify:StartJob":
        parts.append("*")
    elif action == "amplify:ListJobs":
        parts.pop()
    yield action, f"arn:aws:amplify:{get_region()}:{get_account_id()}:{'/'.join(parts)}"
