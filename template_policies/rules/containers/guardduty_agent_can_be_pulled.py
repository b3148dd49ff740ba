"""Each task may pull the agent that GuardDuty Runtime Monitoring adds to it."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.containers import TASK
from template_policies.iam import IDENTITY, statements_of

PULL = {"ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"}


@policy(
    reason="The execution role pulls it (guardian/cdk #2703): otherwise tasks stop once Runtime Monitoring is turned "
    "on.",
    failure=Failure.TASK_DIES,
    reads={TASK: ("ExecutionRoleArn", "TaskRoleArn"), **IDENTITY},
)
def check(graph: Graph) -> Iterator[Violation]:
    for task in graph.of(TASK):
        role = task.target("ExecutionRoleArn")
        if role is None or role.type != "AWS::IAM::Role":
            yield task.violation("ExecutionRoleArn", "must refer to a role")
            continue
        if (own := task.target("TaskRoleArn")) is None or own.type != "AWS::IAM::Role" or own is role:
            yield task.violation("TaskRoleArn", "must refer to its own role")
        pulled = {
            action
            for each in statements_of(graph, role)
            if any(name.endswith(":repository/aws-guardduty-agent-fargate") for name in each.resources)
            for action in each.actions
        }
        if not pulled >= PULL:
            yield task.violation("ExecutionRoleArn", f"may not {', '.join(sorted(PULL - pulled))} of GuardDuty's agent")
