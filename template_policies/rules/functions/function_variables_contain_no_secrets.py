"""A function's variables name secrets and contain none."""

import re
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

FUNCTION = "AWS::Lambda::Function"
_VALUE = re.compile(
    r"\{\{resolve:|AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE|gh[pousr]_\w{20}|xox[abp]-|sk_live_|://[^/\s:@]+:[^/\s@]+@"
)
# Variables that hold a secret value, rather than its name. A Sentry DSN can only send (docs/sentry.md).
_NAME = re.compile(r"PASSWORD|PASSWD|API_KEY|ACCESS_KEY|PRIVATE")


@policy(
    reason="GetFunctionConfiguration shows them, and the drift role may call it.",
    failure=Failure.DISCLOSED,
    reads={FUNCTION: ("Environment",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(FUNCTION):
        for name, value in each.get("Environment.Variables", {}).items():
            text = each.text(value)
            if _VALUE.search(text) or _NAME.search(name):
                yield each.violation(f"Environment.Variables.{name}", "holds a secret, must name one")
            if name.endswith("_SECRET") and not re.match(r"\{|arn:|[a-z0-9][\w/.-]*/", text):
                yield each.violation(f"Environment.Variables.{name}", f"is {text[:20]}…, must name a secret")
