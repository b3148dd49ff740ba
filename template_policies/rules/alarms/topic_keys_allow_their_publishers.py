"""Alarm topics have their own key, which their publishers may use; ElastiCache's topic is not encrypted."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import resource_statements

TOPIC = "AWS::SNS::Topic"
PUBLISHERS = {"cloudwatch.amazonaws.com", "events.amazonaws.com", "budgets.amazonaws.com", "costalerts.amazonaws.com"}
NEEDED = {"kms:Decrypt", "kms:GenerateDataKey*"}


@policy(
    reason="With SNS's default key CloudWatch's messages are silently lost; ElastiCache publishes to no "
    "encrypted topic "
    "(ElastiCache guide, ElastiCacheSNS).",
    failure=Failure.UNOBSERVED,
    reads={
        TOPIC: ("KmsMasterKeyId", "DisplayName"),
        "AWS::SNS::TopicPolicy": ("Topics", "PolicyDocument"),
        "AWS::KMS::Key": ("KeyPolicy",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    may: dict[str, set[str]] = {}
    tls = set()
    for each in resource_statements(graph, "AWS::SNS::TopicPolicy"):
        for topic in each.resource.targets("Topics"):
            if each.allows and "sns:Publish" in each.actions:
                may.setdefault(topic.where, set()).update(who for kind, who in each.principals if kind == "Service")
            denied = each.conditions.get(("Bool", "aws:SecureTransport")) == ["false"]
            if not each.allows and denied and each.principals == [("*", "*")] and each.actions == ["sns:Publish"]:
                tls.add(topic.where)
    keys: dict[str, set[str]] = {}
    for each in resource_statements(graph, "AWS::KMS::Key"):
        if each.allows and set(each.actions) >= NEEDED:
            keys.setdefault(each.resource.where, set()).update(
                who for kind, who in each.principals if kind == "Service"
            )
    for topic in graph.of(TOPIC):
        if topic.where not in tls:
            yield topic.violation("AWS::SNS::TopicPolicy", "is missing: plain HTTP is not denied")
        if "elasticache.amazonaws.com" in may.get(topic.where, set()):
            if topic.get("KmsMasterKeyId") is not None:
                yield topic.violation("KmsMasterKeyId", "is set: ElastiCache publishes to no encrypted topic")
            continue
        key = topic.target("KmsMasterKeyId")
        if key is None or key.type != "AWS::KMS::Key":
            yield topic.violation("KmsMasterKeyId", "must refer to a key of ours")
        if str(topic.get("DisplayName")).endswith(" alarms"):
            for who in sorted(PUBLISHERS - may.get(topic.where, set())):
                yield topic.violation("AWS::SNS::TopicPolicy", f"does not let {who} publish")
            for who in sorted(PUBLISHERS - (keys.get(key.where, set()) if key is not None else set())):
                yield topic.violation("KmsMasterKeyId", f"is a key that {who} may not use")
