"""Other names of the site, which lead to it."""

from collections.abc import Sequence

from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareProvider
from infra_constructs.cloudflare.rules import PhaseRules, Rule, hosts_are

REDIRECT_PHASE = "http_request_dynamic_redirect"


class SiteRedirects(Construct):
    """Cloudflare answers for these names itself; no request of theirs comes to the load balancer."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        provider: CloudflareProvider,
        site: str,
        hosts: Sequence[str],
        adopt: bool,
    ) -> None:
        super().__init__(scope, id_)
        rule = Rule(
            name="redirect-to-site",
            description=f"Other names lead to {site}",
            expression=hosts_are(hosts),
            action="redirect",
            parameters={
                "from_value": {
                    "status_code": 301,
                    "target_url": {"expression": f'concat("https://{site}", http.request.uri.path)'},
                    "preserve_query_string": True,
                }
            },
        )
        PhaseRules(self, "Rules", provider=provider, phase=REDIRECT_PHASE, adopt=adopt, rules=[rule])
