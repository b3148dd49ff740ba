"""A service may invoke a function only for one rule, topic or secret of this account."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short

PERMISSION = "AWS::Lambda::Permission"
# (service, type of its source); for secrets only the account, as in AWS's examples.
SOURCES = {"events.amazonaws.com": "AWS::Events::Rule", "sns.amazonaws.com": "AWS::SNS::Topic"}
BY_ACCOUNT = {"secretsmanager.amazonaws.com", "cloudwatch.amazonaws.com", "lambda.alarms.cloudwatch.amazonaws.com"}


@policy(
    reason="Without a source, a rule of any account could call the function.",
    failure=Failure.EXPOSED,
    reads={PERMISSION: ("Principal", "SourceArn", "SourceAccount", "FunctionName", "Action", "FunctionUrlAuthType"),
           "AWS::Lambda::Url": ()},
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(PERMISSION):
        yield from each.expect("Action", "lambda:InvokeFunction")
        function = each.target("FunctionName")
        if function is None or function.type != "AWS::Lambda::Function":
            yield each.violation("FunctionName", "must refer to a function")
        who = str(each.get("Principal"))
        if who in SOURCES:
            source = each.target("SourceArn")
            if source is None or source.type != SOURCES[who]:
                yield each.violation("SourceArn", f"must refer to a {SOURCES[who]}")
        elif who in BY_ACCOUNT:
            if each.get("SourceArn") is None:
                yield from each.expect("SourceAccount", graph.environment.aws.account)
        else:
            yield each.violation(
                "Principal", f"is {short(each.get('Principal'))}, must be one of {sorted({*SOURCES, *BY_ACCOUNT})}"
            )
    for each in graph.of("AWS::Lambda::Url"):
        yield each.violation("AWS::Lambda::Url", "is an address of the function in the internet")
