"""The drift check: four times a day a function compares the zone with what was declared."""

import aws_cdk as cdk
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareToken
from infra_constructs.function import RuntimeFunction
from infra_constructs.state_store import StateStore


class DriftCheck(Construct):
    """Reads only. Publishes DriftedRules, MissingRules and ForeignRules."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        token: CloudflareToken,
        store: StateStore,
        environment: str,
        secrets: list[secretsmanager.ISecret],
    ) -> None:
        super().__init__(scope, id_)
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="edge_drift",
            description="Compares the Cloudflare zone with what was declared",
            timeout=cdk.Duration.minutes(5),
            environment={"TOKEN_SECRET": token.name, "STATE_STORE": store.prefix, "ENVIRONMENT": environment},
            uses_libraries=True,
        )
        token.grant_read(self.handler)
        store.grant(self.handler, writes=False)
        for secret in secrets:
            secret.grant_read(self.handler.role)
        self.handler.run_every(
            cdk.Duration.hours(6), self, "Schedule", description="Compares the Cloudflare zone with what was declared"
        )
