"""A function that publishes Cloudflare's analytics as CloudWatch metrics."""

import json
from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareToken
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction
from infra_constructs.release.ledger import ReleaseLedger
from infra_runtime.contract.metrics import EDGE


class EdgeTraffic(Construct):
    """Reads Cloudflare's analytics every five minutes and publishes each window once (infra_runtime.edge_traffic)."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        token: CloudflareToken,
        zone: str,
        hosts: Sequence[str],
        media: str,
        ledger: ReleaseLedger,
    ) -> None:
        super().__init__(scope, id_)
        declared = {"zone": zone, "hosts": list(hosts), "media": media}
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="edge_traffic",
            description="Publishes Cloudflare's analytics in CloudWatch",
            timeout=cdk.Duration.minutes(4),
            environment={
                "ENVIRONMENT": environment,
                "TOKEN_SECRET": token.name,
                "LEDGER": ledger.table.table_name,
                "DECLARED": json.dumps(declared),
            },
            uses_libraries=True,
        )
        token.grant_read(self.handler)
        ledger.table.grant(self.handler.role, "dynamodb:GetItem", "dynamodb:PutItem")
        self.handler.role.add_to_policy(
            iam.PolicyStatement(
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringEquals": {"cloudwatch:namespace": EDGE}},
            )
        )
        self.handler.role.add_to_policy(
            iam.PolicyStatement(actions=["cloudwatch:GetMetricStatistics"], resources=["*"])
        )
        acknowledge(
            self.handler.policy,
            allows_on("*"),
            reason="Metrics have no ARN; what is written is bound to one namespace.",
        )
        # The next run does what this one has not.
        self.handler.function.configure_async_invoke(retry_attempts=0)
        self.handler.run_every(
            cdk.Duration.minutes(5), self, "Often", description="Publishes Cloudflare's analytics in CloudWatch"
        )
