"""A resource policy names only its own resource."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Resource, Violation, policy
from template_policies.graph import list_of, short
from template_policies.iam import resource_statements

# (type, property that names the resource)
OF = {
    "AWS::SNS::TopicPolicy": "Topics",
    "AWS::SQS::QueuePolicy": "Queues",
    "AWS::S3::BucketPolicy": "Bucket",
}


@policy(
    reason="A statement about another resource has no effect: plain HTTP, or anyone, would be allowed after all.",
    failure=Failure.EXPOSED,
    reads={kind: (path, "PolicyDocument") for kind, path in OF.items()},
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in resource_statements(graph, *OF):
        own = each.resource.targets(OF[each.resource.type])
        named = list_of(each.document.get("Resource"))
        about = [_about(graph, each.resource, value) for value in named]
        if not named or any(one not in own for one in about):
            yield each.violation(f"is about {short(named)}, must be about {', '.join(one.where for one in own)}")


def _about(graph: Graph, resource: Resource, value: object) -> Resource | None:
    found = list(graph.referred(resource.stack, value))
    return found[0] if len(found) == 1 else None
