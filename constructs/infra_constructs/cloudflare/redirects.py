"""Redirects from other host names to a service's host."""

from collections.abc import Mapping

from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareProvider
from infra_constructs.cloudflare.rules import PhaseRules, Rule, hosts_are
from infra_runtime.contract.cloudflare_phases import REDIRECT


class Redirects(Construct):
    """Cloudflare answers for these names itself; no request of theirs comes to the load balancer.

    `redirects` has the host that each name leads to.
    """

    def __init__(
        self, scope: Construct, id_: str, *, provider: CloudflareProvider, redirects: Mapping[str, str], adopt: bool
    ) -> None:
        super().__init__(scope, id_)
        rules = [
            Rule(
                name=f"redirect-to-{target}",
                description=f"Other names lead to {target}",
                expression=hosts_are([name for name, to in redirects.items() if to == target]),
                action="redirect",
                parameters={
                    "from_value": {
                        "status_code": 301,
                        "target_url": {"expression": f'concat("https://{target}", http.request.uri.path)'},
                        "preserve_query_string": True,
                    }
                },
            )
            for target in sorted(set(redirects.values()))
        ]
        PhaseRules(self, "Rules", provider=provider, phase=REDIRECT, adopt=adopt, rules=rules)
