"""The release ledger: what was released when, by whom, and how it ended."""

from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from infra_constructs.function import RuntimeFunction
from infra_constructs.retention import Retention


class ReleaseLedger(Construct):
    """Stateful: a rollback finds the earlier releases here (infra_runtime.release.ledger)."""

    def __init__(self, scope: Construct, id_: str, *, retention: Retention) -> None:
        super().__init__(scope, id_)
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="service", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            time_to_live_attribute="expires",  # of the runs of jobs; releases have none, and stay
            deletion_protection=retention.is_kept,
            removal_policy=retention.objects,
        )

    def grant_writing(self, handler: RuntimeFunction) -> None:
        self.table.grant(handler.role, "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem")
