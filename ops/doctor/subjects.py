"""Whether the roles accept the tokens that GitHub gives to the workflows."""

from collections.abc import Iterator

from config.model import Environment
from ops.doctor.finding import Finding
from ops.github.api import connection
from ops.github.subjects import mismatches


def subjects(environment: Environment) -> Iterator[Finding]:
    """What was not checked stops nothing: a workflow's token does not see private repositories beside its own."""
    with connection() as github:
        for each in mismatches(environment, github):
            yield Finding(
                where=f"GitHub, {each.key}",
                what=each.what,
                why="AWS refuses every workflow whose token has another subject than its role trusts",
                fix=each.fix,
                stops=each.was_checked,
            )
