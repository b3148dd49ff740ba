"""If tasks read a secret, a function replaces them after each change, and finds tasks that are older."""

from collections.abc import Iterator

from config.services import on_ecs
from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short

RULE = "AWS::Events::Rule"
PATTERN = {
    "source": ["aws.secretsmanager"],
    "detail-type": ["Secret Label Updated"],
    "detail": {"labelUpdated": ["AWSCURRENT"]},
}


@policy(
    reason="Tasks read a secret when they start: after the second rotation their login is gone (docs/adr/0006).",
    failure=Failure.SECRET_ROTATES,
    reads={RULE: ("EventPattern", "Targets"), "AWS::Lambda::Function": ("Handler", "Environment")},
)
def check(graph: Graph) -> Iterator[Violation]:
    reading = [
        name
        for name, each in on_ecs(graph.environment).items()
        if {"database", "redis", "queue"} & set(each.needs) or each.secrets
    ]
    hears = set()
    for rule in graph.of(RULE):
        for target in rule.items("Targets"):
            function = graph.target(rule.stack, target.get("Arn"))
            if function is not None and function in graph.functions("restart_service"):
                if rule.get("EventPattern") is not None:
                    hears.add(function.get("Environment.Variables.SERVICE"))
                    yield from rule.expect("EventPattern", PATTERN)
                if not function.get("Environment.Variables.SECRETS"):
                    yield function.violation("Environment.Variables.SECRETS", "is missing: it would check nothing")
    if sorted(hears) != sorted(reading):
        stack = min(str(each).partition("/")[0] for each in {*hears} ^ {*reading})
        yield graph.missing(RULE, f"restarts {short(sorted(hears))}, must {short(sorted(reading))}", stack=stack)
