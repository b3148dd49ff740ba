"""The application may read, write and delete media, but neither old versions nor the bucket's rules."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.containers import TASK
from template_policies.iam import IDENTITY, statements_of

MEDIA = {"s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"}
SHELL = {f"ssmmessages:{verb}{what}Channel" for verb in ("Create", "Open") for what in ("Control", "Data")}


@policy(
    reason="An attacker in the application can delete every object that it can reach: versions restore them.",
    failure=Failure.DATA_LOST,
    reads={TASK: ("TaskRoleArn",), **IDENTITY},
)
def check(graph: Graph) -> Iterator[Violation]:
    bucket = f"arn:aws:s3:::{graph.environment.media.bucket}/*"
    for task in graph.of(TASK):
        role = task.target("TaskRoleArn")
        for each in statements_of(graph, role) if role is not None else []:
            for action in each.actions if each.allows else []:
                if action not in MEDIA | (SHELL if "OneOff" in task.logical_id else set()):
                    yield each.violation(f"lets the application {action}")
                if action in MEDIA and each.resources != [bucket]:
                    yield each.violation(f"lets the application {action} in {each.resources}, must be {bucket}")
