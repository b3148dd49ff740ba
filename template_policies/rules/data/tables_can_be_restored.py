"""DynamoDB tables are encrypted, have point-in-time recovery, and delete expired items."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

TABLE = "AWS::DynamoDB::Table"


@policy(
    reason="The ledger of releases decides which release a rollback may restore.",
    failure=Failure.DATA_LOST,
    reads={
        TABLE: ("PointInTimeRecoverySpecification", "SSESpecification", "TimeToLiveSpecification", "BillingMode",
                "KeySchema", "AttributeDefinitions"),
    },
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(TABLE):
        yield from each.expect("PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled", True)
        yield from each.expect("SSESpecification.SSEEnabled", True)
        yield from each.expect("TimeToLiveSpecification", {"AttributeName": "expires", "Enabled": True})
        yield from each.expect("BillingMode", "PAY_PER_REQUEST")
        if each.stack != "Registry":
            continue
        # The ledger's table: a change of its keys replaces it.
        keys = [(one.get("AttributeName"), one.get("KeyType")) for one in each.items("KeySchema")]
        if keys != [("service", "HASH"), ("id", "RANGE")]:
            yield each.violation("KeySchema", f"is {keys}, must be service and id")
        attributes = [
            (str(one.get("AttributeName")), str(one.get("AttributeType"))) for one in each.items("AttributeDefinitions")
        ]
        if sorted(attributes) != [("id", "S"), ("service", "S")]:
            yield each.violation("AttributeDefinitions", f"is {attributes}, must be service and id, both text")
