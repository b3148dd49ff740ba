"""A site that Amplify hosts: whether its name is served, and how its last build ended."""

from dataclasses import dataclass
from typing import Any

from config.model import Environment
from config.services import ON_AMPLIFY
from infra_runtime.contract.names import stack_name
from ops.functions import Clients, resources


@dataclass(frozen=True)
class DeployedAmplifySite:
    name: str
    """Name of the environment."""
    environment: Environment
    service: str
    clients: Clients

    @property
    def stack(self) -> str:
        return stack_name(self.environment.product, self.name, f"{self.service}{ON_AMPLIFY}")

    def domain(self) -> dict[str, Any]:
        """The domain as Amplify describes it. Raises what boto3 raises, such as `NotFoundException`."""
        found: dict[str, Any] = self._amplify.get_domain_association(
            appId=self._app, domainName=self.environment.services[self.service].host
        )["domainAssociation"]
        return found

    def builds(self) -> list[dict[str, Any]]:
        """The newest first."""
        (branch,) = resources(self.clients, self.stack, "AWS::Amplify::Branch")
        name = branch.partition("/branches/")[2]
        pages = self._amplify.get_paginator("list_jobs").paginate(appId=self._app, branchName=name)
        found = [each for page in pages for each in page["jobSummaries"]]
        return sorted(found, key=lambda each: int(each["jobId"]), reverse=True)

    @property
    def is_deployed(self) -> bool:
        """Raises what boto3 raises when there is no stack of its name."""
        return bool(resources(self.clients, self.stack, "AWS::Amplify::App"))

    @property
    def _amplify(self) -> Any:
        return self.clients.client("amplify")

    @property
    def _app(self) -> str:
        (found,) = resources(self.clients, self.stack, "AWS::Amplify::App")
        return found


@dataclass(frozen=True, kw_only=True)
class Build:
    number: str
    status: str
    commit: str


@dataclass(frozen=True, kw_only=True)
class SiteStatus:
    """Status of the domain and of the newest build."""

    host: str
    domain: str
    reason: str | None
    """Why the domain is not served."""
    build: Build | None


def site_status(site: DeployedAmplifySite) -> SiteStatus:
    """Raises what boto3 raises."""
    domain, builds = site.domain(), site.builds()
    newest = builds[0] if builds else None
    return SiteStatus(
        host=domain["domainName"],
        domain=domain["domainStatus"],
        reason=domain.get("statusReason") or None,
        build=Build(number=newest["jobId"], status=newest["status"], commit=newest["commitId"]) if newest else None,
    )
