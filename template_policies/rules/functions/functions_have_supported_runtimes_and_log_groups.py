"""A function runs a supported runtime on arm64, with our libraries, and logs to a group with retention."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short

FUNCTION = "AWS::Lambda::Function"
LAYER = "AWS::Lambda::LayerVersion"
# Ours; CDK's own functions have Node.js.
RUNTIMES = {"python3.14": ["arm64"], "nodejs24.x": None}


@policy(
    reason="AWS stops updating functions of a runtime that has ended; a layer for another architecture fails at "
    "import.",
    failure=Failure.SUPPLY_CHAIN,
    reads={
        FUNCTION: (
            "Runtime",
            "Architectures",
            "Layers",
            "Handler",
            "Role",
            "Timeout",
            "MemorySize",
            "LoggingConfig",
            "Code",
            "ReservedConcurrentExecutions",
            "PackageType",
        ),
        LAYER: ("CompatibleRuntimes", "CompatibleArchitectures", "Content"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    bucket = f"cdk-hnb659fds-assets-{graph.environment.aws.account}-{graph.environment.aws.region}"
    for each in graph.of(FUNCTION):
        runtime = each.get("Runtime")
        if runtime not in RUNTIMES or each.get("Architectures") != RUNTIMES[runtime]:
            yield each.violation(
                "Runtime", f"is {short([runtime, each.get('Architectures')])}, must be one of {short(RUNTIMES)}"
            )
        role = each.target("Role")
        if role is None or role.type != "AWS::IAM::Role":
            yield each.violation("Role", "must refer to its own role")
        if each.text(each.get("Code.S3Bucket")) != bucket:
            yield each.violation("Code", f"comes from {short(each.get('Code'))}, must come from {bucket}")
        yield from each.expect_between("Timeout", 10, 900)
        if each.get("ReservedConcurrentExecutions") == 0:
            yield each.violation("ReservedConcurrentExecutions", "is 0: it never runs")
        if not str(each.get("Handler")).startswith("infra_runtime."):
            continue
        yield from each.expect_between("MemorySize", 256, 3008)
        yield from each.expect("LoggingConfig.LogFormat", "JSON")
        group = each.target("LoggingConfig.LogGroup")
        if group is None or group.type != "AWS::Logs::LogGroup":
            yield each.violation("LoggingConfig", "must refer to our log group: Lambda's own keeps logs forever")
        for layer in each.items("Layers"):
            found = graph.target(each.stack, layer)
            if found is None or found.type != LAYER:
                yield each.violation("Layers", "must refer to a layer of this stack")
    for each in graph.of(LAYER):
        yield from each.expect("CompatibleArchitectures", ["arm64"])
        yield from each.expect("CompatibleRuntimes", ["python3.14"])
        if each.text(each.get("Content.S3Bucket")) != bucket:
            yield each.violation("Content", f"comes from {short(each.get('Content'))}, must come from {bucket}")
