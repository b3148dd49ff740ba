"""A template is as small as CloudFormation takes it."""

import json
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

_MOST = 1_000_000


@policy(
    reason="CloudFormation refuses more ('Template may not exceed 1000000 bytes in size'), where CDK only warns. The "
    "dashboard and the alarms of the stack Observability grow with each service.",
    failure=Failure.REFUSED,
    reads={"AWS::CloudWatch::Dashboard": ("DashboardBody",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    for stack, template in graph.templates.items():
        # As CDK writes it: cdk.json turns indentation off, a third of it.
        found = len(json.dumps(template, ensure_ascii=False, separators=(",", ":")).encode())
        if found > _MOST:
            yield Violation(stack, "", "Resources", f"have {found} bytes, must have {_MOST} at most")
