"""The gate before the first change to the zone."""

from collections.abc import Mapping, Sequence

from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareProvider


class Preflight(Construct):
    """Fails the deployment if the token, the plan or a setting does not fit what is declared, or rules exceed the plan.

    `rules` has for each phase the number of our rules and the plan's limit.
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
