"""DNS records under which users reach the product."""

from collections.abc import Sequence
from dataclasses import dataclass

from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareProvider

DNS = "dns"
"""Name of the declaration with the records under which users reach the product."""


@dataclass(frozen=True, kw_only=True)
class ProxiedName:
    """A host name that resolves to Cloudflare's addresses; Cloudflare forwards requests to `origin`."""

    name: str
    """Identifies the record among ours, also when its host changes."""
    host: str
    origin: str


class ProxiedNames(Construct):
    """CNAME records, all of them proxied by Cloudflare."""

    def __init__(
        self, scope: Construct, id_: str, *, provider: CloudflareProvider, names: Sequence[ProxiedName], adopt: bool
    ) -> None:
        super().__init__(scope, id_)
        provider.declare(
            self,
            "Resource",
            kind="records",
            name=DNS,
            part=DNS,
            adopt=adopt,
            records=[
                {"name": each.name, "host": each.host, "type": "CNAME", "content": each.origin, "proxied": True}
                for each in names
            ],
        )
