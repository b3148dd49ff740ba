"""Every log group keeps its logs for ninety days."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

GROUP = "AWS::Logs::LogGroup"


@policy(
    reason="Without retention, logs are stored and billed forever; with a short one, an intrusion cannot be traced.",
    failure=Failure.COST_RUNS_AWAY,
    reads={GROUP: ("RetentionInDays",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(GROUP):
        yield from each.expect("RetentionInDays", 90)
