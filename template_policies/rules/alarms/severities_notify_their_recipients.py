"""Each severity notifies the recipients in the environment's file; members of the Slack channel may only read."""

from collections import Counter
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.alarms import SEVERITIES, TOPIC

SUBSCRIPTION = "AWS::SNS::Subscription"
SLACK = "AWS::Chatbot::SlackChannelConfiguration"


@policy(
    reason="An alarm without a subscriber is seen only in the console.",
    failure=Failure.UNOBSERVED,
    reads={
        SUBSCRIPTION: ("Protocol", "Endpoint", "TopicArn", "FilterPolicy"),
        SLACK: (
            "SlackChannelId",
            "SlackWorkspaceId",
            "SnsTopicArns",
            "GuardrailPolicies",
            "IamRoleArn",
            "UserRoleRequired",
        ),
        TOPIC: ("DisplayName",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    alarms = graph.environment.alarms
    topics = {
        str(each.get("DisplayName")).removesuffix(" alarms"): each
        for each in graph.of(TOPIC)
        if each.stack == "Platform"
    }
    for severity in SEVERITIES:
        topic = topics.get(severity)
        if topic is None:
            yield graph.missing(TOPIC, f"is missing: {severity} alarms", stack="Platform")
            continue
        route = getattr(alarms, severity)
        wanted = Counter(("email", each) for each in route.email)
        wanted.update([("lambda", "")] * (route.webhook_secret is not None))
        found: Counter[tuple[str, str]] = Counter()
        for each in graph.of(SUBSCRIPTION):
            if each.target("TopicArn") is topic:
                is_mail = each.get("Protocol") == "email"
                found[str(each.get("Protocol")), str(each.get("Endpoint")) if is_mail else ""] += 1
        if found != wanted:
            yield topic.violation(SUBSCRIPTION, f"are {dict(found)}, must be {dict(wanted)}")
        if route.slack_channel is not None and not [
            each
            for each in graph.of(SLACK)
            if each.get("SlackChannelId") == route.slack_channel and topic in each.targets("SnsTopicArns")
        ]:
            yield topic.violation(SLACK, f"is missing: {severity} alarms in {route.slack_channel}")
    for each in graph.of(SUBSCRIPTION):
        target = each.target("TopicArn")
        if target is None or target.type != TOPIC:
            yield each.violation("TopicArn", "must refer to a topic")
        if each.get("FilterPolicy") is not None:
            yield each.violation("FilterPolicy", "is set: some alarms would notify no one")
        if each.get("Protocol") == "lambda" and each.target("Endpoint") is None:
            yield each.violation("Endpoint", "must refer to a function")
    for each in graph.of(SLACK):
        yield from each.expect("SlackWorkspaceId", alarms.slack_workspace)
        guards = [each.text(one).rpartition("policy/")[2] for one in each.items("GuardrailPolicies")]
        if guards != ["CloudWatchReadOnlyAccess"]:
            yield each.violation(
                "GuardrailPolicies", f"are {guards}: without one, members of the channel may do everything"
            )
        if (role := each.target("IamRoleArn")) is None or role.type != "AWS::IAM::Role":
            yield each.violation("IamRoleArn", "must refer to a role")
    heard = {target.where for each in graph.of(SUBSCRIPTION) if (target := each.target("TopicArn")) is not None}
    for topic in graph.of(TOPIC):
        if topic.stack != "Platform" and topic.where not in heard:
            yield topic.violation(SUBSCRIPTION, "is missing: its alarms notify no one")
