"""Functions that run each minute are not retried: the minute is over."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

CONFIG = "AWS::Lambda::EventInvokeConfig"


@policy(
    reason="Lambda repeats asynchronous calls for six hours: after an outage it would publish hundreds of "
    "outdated values.",
    failure=Failure.UNOBSERVED,
    reads={
        CONFIG: ("FunctionName", "MaximumRetryAttempts", "MaximumEventAgeInSeconds", "Qualifier"),
        "AWS::Lambda::Function": ("Handler",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    configured = {function.where: each for each in graph.of(CONFIG) if (function := each.target("FunctionName"))}
    for each in graph.of(CONFIG):
        if each.target("FunctionName") is None:
            yield each.violation("FunctionName", "must refer to a function")
        yield from each.expect("MaximumRetryAttempts", 0)
        yield from each.expect("Qualifier", "$LATEST")
    for module in ("checks", "redis.monitor", "edge_traffic"):
        for function in graph.functions(module):
            config = configured.get(function.where)
            if config is None:
                yield function.violation(CONFIG, "is missing: outdated invocations are repeated")
            elif module != "edge_traffic":  # It catches up on missed windows.
                yield from config.expect("MaximumEventAgeInSeconds", 60)
