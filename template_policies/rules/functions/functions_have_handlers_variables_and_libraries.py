"""Our functions have an existing handler, every variable that they read, and the libraries that they import."""

import re
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short
from template_policies.runtime_source import PACKAGE, module_of, needs_libraries, variables_read

FUNCTION = "AWS::Lambda::Function"
# Called by `infra` only: no other resource refers to them.
CALLED_BY_HAND = ("database.access", "database.restore")
# Handlers of CDK's own functions.
CDKS_OWN = ("__entrypoint__.handler", "index.handler")
_KEY = re.compile(r"[0-9a-f]{64}\.zip")


@policy(
    reason="Otherwise it fails at its first call, which for a rotation or a restore comes weeks after the deployment.",
    failure=Failure.UNOBSERVED,
    reads={FUNCTION: ("Code", "Environment", "Handler", "Layers", "Runtime")},
)
def check(graph: Graph) -> Iterator[Violation]:
    handlers = set()
    for each in graph.of(FUNCTION):
        handler = str(each.get("Handler"))
        handlers.add(handler)
        if not _KEY.fullmatch(each.text(each.get("Code.S3Key", ""))):
            yield each.violation("Code", f"is {short(each.get('Code.S3Key'))}, must be an asset")
        if not str(each.get("Runtime")).startswith("python"):
            yield from each.expect("Handler", *CDKS_OWN)
            continue
        module = module_of(handler)
        if module is None:
            yield each.violation("Handler", f"is {handler}, must be a module of {PACKAGE}")
            continue
        variables = each.get("Environment.Variables", {})
        if missing := variables_read(module) - set(variables):
            yield each.violation("Environment", f"lacks {sorted(missing)}, which {module} reads")
        if variables.get("ENVIRONMENT", graph.name) != graph.name:
            yield each.violation("Environment", f"has ENVIRONMENT {variables['ENVIRONMENT']}, must be {graph.name}")
        if not each.items("Layers") and (needs_libraries(module) or "SENTRY_DSN" in variables):
            text = f"are none, and {module} or its reports to Sentry need libraries (uses_libraries of RuntimeFunction)"
            yield each.violation("Layers", text)
    for name in CALLED_BY_HAND:
        if f"{PACKAGE}.{name}.handler" not in handlers:
            yield graph.missing(FUNCTION, f"is missing: {name}", stack="Data")
