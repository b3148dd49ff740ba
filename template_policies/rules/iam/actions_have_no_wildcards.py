"""No action is a wildcard, except for reading."""

import re
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import IDENTITY, statements
from template_policies.wildcards import READ_ONLY

# Configuration only, and read to find drift.
_MAY = re.compile(r"(iam|sns):Get\*|s3:GetBucket\*")


@policy(
    reason="A wildcard also allows what AWS adds next year.",
    failure=Failure.ROLE_TAKEN_OVER,
    reads=IDENTITY,
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in statements(graph):
        if not each.actions:
            yield each.violation("names no action")
        for action in each.actions:
            if "*" in action and not READ_ONLY.fullmatch(action) and not _MAY.fullmatch(action):
                yield each.violation(f"allows {action}, must name the action")
            if not re.fullmatch(r"[a-z0-9-]+:[A-Za-z*]+", action):
                yield each.violation(f"allows {action}, which is not an IAM action")
