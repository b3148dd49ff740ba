"""Keys rotate every year, and their deletion can be cancelled for a week."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

KEY = "AWS::KMS::Key"


@policy(
    reason="A deleted key makes all its data unreadable (FSBP KMS.3). One stolen key that never rotates exposes "
    "all of it.",
    failure=Failure.DATA_LOST,
    reads={KEY: ("EnableKeyRotation", "PendingWindowInDays", "Enabled", "KeySpec", "RotationPeriodInDays")},
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(KEY):
        yield from each.expect("EnableKeyRotation", True)
        if each.get("PendingWindowInDays") is not None:
            yield from each.expect_between("PendingWindowInDays", 7, 30)
        if each.get("Enabled") not in (None, True):
            yield each.violation("Enabled", "is off: nothing encrypted with it can be read")
