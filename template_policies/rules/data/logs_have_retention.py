"""Every log group keeps its logs for ninety days."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

GROUP = "AWS::Logs::LogGroup"


@policy(
    reason="Without an end logs are kept, and paid, for ever; with a short one an intrusion cannot be followed.",
    failure=Failure.COST_RUNS_AWAY,
    reads={GROUP: ("RetentionInDays",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(GROUP):
        yield from each.expect("RetentionInDays", 90)
