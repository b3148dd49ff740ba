"""The template names only PostgreSQL's major version; AWS updates the minor version."""

import re
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

DATABASE = "AWS::RDS::DBInstance"


@policy(
    reason="After AWS upgrades a pinned minor version, the next deployment would ask for a downgrade, which is refused "
    "(cfn-coverage-roadmap #1308). A major upgrade must be a person's decision.",
    failure=Failure.REFUSED,
    reads={DATABASE: ("EngineVersion", "AutoMinorVersionUpgrade", "AllowMajorVersionUpgrade", "Engine")},
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(DATABASE):
        yield from each.expect("Engine", "postgres")
        if not re.fullmatch(r"\d+", str(each.get("EngineVersion"))):
            yield each.violation("EngineVersion", f"is {each.get('EngineVersion')}, must be a major version")
        yield from each.expect("EngineVersion", str(graph.environment.database.version))
        yield from each.expect("AutoMinorVersionUpgrade", True)
        yield from each.expect("AllowMajorVersionUpgrade", False)
