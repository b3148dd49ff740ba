"""A site that Amplify hosts: whether its name is served, and how its last build ended."""

import json
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from config.model import Environment
from ops.console import Console
from ops.functions import Clients, resources


@dataclass(frozen=True)
class AmplifySite:
    name: str
    """Of the environment."""
    environment: Environment
    service: str
    clients: Clients

    @property
    def stack(self) -> str:
        return f"{self.environment.product}-{self.name}-{self.service}"

    def domain(self) -> dict[str, Any]:
        """As Amplify describes it. Raises what boto3 raises, `NotFoundException` too."""
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
    def _amplify(self) -> Any:
        return self.clients.client("amplify")

    @property
    def _app(self) -> str:
        (found,) = resources(self.clients, self.stack, "AWS::Amplify::App")
        return found


def status(site: AmplifySite, console: Console, *, as_json: bool) -> None:
    """Of the domain and of the last build."""
    domain, builds = site.domain(), site.builds()
    build = {key: builds[0][key] for key in ("jobId", "status", "commitId")} if builds else None
    found = {
        "host": domain["domainName"],
        "domain": domain["domainStatus"],
        "reason": domain.get("statusReason") or None,
        "build": build,
    }
    if as_json:
        print(json.dumps(found, indent=2))  # noqa: T201
        return
    table = Table(show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("host", found["host"])
    table.add_row("domain", " ".join(filter(None, (found["domain"], found["reason"]))))
    table.add_row("build", f"{build['jobId']} {build['status']}, commit {build['commitId']}" if build else "none yet")
    console.print(f"{site.service} in {site.name}, on Amplify", table, sep="\n", highlight=False)
