"""A queue is encrypted, refuses plain HTTP, retries in time, and keeps failed messages for two weeks."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import resource_statements

QUEUE = "AWS::SQS::Queue"
MAPPING = "AWS::Lambda::EventSourceMapping"


@policy(
    reason="Without a dead-letter queue a failed message is lost after four days, or blocks later ones.",
    failure=Failure.DATA_LOST,
    reads={
        QUEUE: (
            "SqsManagedSseEnabled",
            "RedrivePolicy",
            "VisibilityTimeout",
            "MessageRetentionPeriod",
            "KmsMasterKeyId",
        ),
        MAPPING: (
            "EventSourceArn",
            "FunctionName",
            "Enabled",
            "BatchSize",
            "MaximumBatchingWindowInSeconds",
            "ScalingConfig",
        ),
        "AWS::Lambda::Function": ("Timeout",),
        "AWS::SQS::QueuePolicy": ("Queues", "PolicyDocument"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    failed, tls = set(), set()
    for policy_ in graph.of("AWS::SQS::QueuePolicy"):
        for statement in resource_statements(graph, "AWS::SQS::QueuePolicy"):
            denies = statement.resource is policy_ and statement.document.get("Effect") == "Deny"
            plain = statement.conditions.get(("Bool", "aws:SecureTransport")) == ["false"]
            if denies and plain and statement.actions == ["sqs:*"] and statement.principals == [("AWS", "*")]:
                tls |= {each.where for each in policy_.targets("Queues")}
    for each in graph.of(QUEUE):
        if (dead := each.target("RedrivePolicy.deadLetterTargetArn")) is not None:
            failed.add(dead.where)
    for each in graph.of(QUEUE):
        if each.get("KmsMasterKeyId") is None:
            yield from each.expect("SqsManagedSseEnabled", True)
        if each.where not in tls:
            yield each.violation("AWS::SQS::QueuePolicy", "is missing: plain HTTP is not denied")
        if each.where in failed:
            yield from each.expect("MessageRetentionPeriod", 14 * 24 * 3600)
            continue
        if each.target("RedrivePolicy.deadLetterTargetArn") is None:
            yield each.violation("RedrivePolicy", "must refer to a dead-letter queue")
        yield from each.expect_between("RedrivePolicy.maxReceiveCount", 3, 100)
        consumers = [one for one in graph.of(MAPPING) if one.target("EventSourceArn") is each]
        if not consumers:
            yield each.violation("AWS::Lambda::EventSourceMapping", "is missing: no function consumes the queue")
        for one in consumers:
            function = one.target("FunctionName")
            timeout = function.get("Timeout", 0) if function is not None else 0
            if function is None:
                yield one.violation("FunctionName", "must refer to a function")
            # The Lambda guide demands six times the function's timeout.
            elif each.get("VisibilityTimeout", 30) < 6 * timeout:
                yield each.violation(
                    "VisibilityTimeout", f"is {each.get('VisibilityTimeout')}, must be at least {6 * timeout}"
                )
            if one.get("Enabled") not in (None, True):
                yield one.violation("Enabled", "is off: no function consumes the queue")
            if one.get("ScalingConfig") is not None:
                yield from one.expect_between("ScalingConfig.MaximumConcurrency", 2, 10)
