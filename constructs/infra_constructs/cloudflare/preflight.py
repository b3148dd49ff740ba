"""The gate before the first write into the zone."""

from collections.abc import Mapping, Sequence

from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareProvider


class Preflight(Construct):
    """Fails the deployment when token, zone, plan, settings or the room for rules are not as declared.

    `rules` are how many of ours each phase will hold, and how many the plan allows.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        provider: CloudflareProvider,
        plan: str,
        rules: Mapping[str, tuple[int, int]],
        settings: Sequence[str],
    ) -> None:
        super().__init__(scope, id_)
        self.resource = provider.declare(
            self,
            "Resource",
            kind="preflight",
            name="preflight",
            plan=plan,
            settings=list(settings),
            rules={phase: {"ours": ours, "limit": limit} for phase, (ours, limit) in rules.items() if ours},
        )
