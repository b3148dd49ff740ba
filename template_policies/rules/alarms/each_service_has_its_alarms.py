"""Every service, every function that runs by itself, and every notification channel has its alarms."""

from collections import Counter
from collections.abc import Iterator

from config.model import routes
from config.services import hosts, load_balanced, on_ecs, released, words
from template_policies import Failure, Graph, Violation, policy
from template_policies.alarms import ALARM, COMPOSITE

# Prefixes of logical ids: for each service, each service with users, each public name, and each objective.
OF_SERVICE = ("Cpu", "Memory", "TasksMissing")
OF_BALANCED = ("Down",)
OF_HOST = ("CheckAlarms{}Failed", "CheckAlarms{}Slow", "TrafficAlarms{}Errors")
OF_OBJECTIVE = ("Availability", "Latency")
ALWAYS = (
    "IncidentUsers",
    "IncidentDelayed",
    "IncidentLooming",
    "LoadBalancerErrors",
    "LoadBalancerRejected",
    "TrafficAlarmsAttack",
    "TrafficAlarmsDdos",
    "TrafficAlarmsEgressSaving",
    "TrafficAlarmsFailing",
    "TrafficAlarmsNoNumbers",
    "MediaPurgeGivenUp",
    "MediaPurgeLate",
    "MediaRefused",
    "MediaServerErrors",
    "DatabaseStorage",
    "DatabaseConnections",
    "DatabaseCpu",
    "DatabaseMemory",
    "DatabaseDeadlocks",
    "DatabaseRestorePoint",
    "DatabaseSnapshot",
    "DatabaseRotation",
    "DatabaseReplicationSlot",
    "DatabaseEventsFailoverNotSent",
    "DeploymentEventsWentBackNotSent",
    "CrashedTasksLoop",
    "EdgeDrifted",
    "EdgeMissing",
    "EdgeClientCertificate",
    "EdgeRangesChanged",
    "FunctionsSlow1",
    "FunctionsThrottled1",
    "CheckAlarmsMediaSlow",
    "TrafficAlarmsMediaErrors",
    "CheckAlarmsMediaFailed",
)


@policy(
    reason="Alarms are made in loops: a service missing from the loop has no alarms.",
    failure=Failure.UNOBSERVED,
    reads={ALARM: (), COMPOSITE: (), "AWS::EC2::NatGateway": (), "AWS::Lambda::Function": ("Handler",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    ids = [each.logical_id for each in graph.of(ALARM, COMPOSITE) if each.stack == "Observability"]
    wanted = list(ALWAYS)
    environment = graph.environment
    wanted += [f"{words(name)}{what}" for name in on_ecs(environment) for what in OF_SERVICE]
    wanted += [f"{words(name)}{what}" for name in load_balanced(environment) for what in OF_BALANCED]
    wanted += [what.format(words(name)) for name in hosts(environment) for what in OF_HOST]
    wanted += [
        f"{words(name)}Objective{what}{pace}{window}"
        for name, service in environment.services.items()
        if service.objective is not None
        for what in OF_OBJECTIVE
        for pace in ("Fast", "Slow")
        for window in ("Long", "Short")
    ]
    if environment.database.restore_drills:
        wanted += ["DatabaseBackupJob", "DatabaseDrillAge", "DatabaseDrillRpo", "DatabaseDrillRto"]
    for each in wanted:
        # The rest of the id is a digest of the path.
        if not any(one.startswith(each) for one in ids):
            yield graph.missing(ALARM, f"is missing: {each}", stack="Observability")
    yield from _elsewhere(graph)
    slow, throttled = (sum(one.startswith(f"Functions{what}") for one in ids) for what in ("Slow", "Throttled"))
    if slow != throttled:
        yield graph.missing(ALARM, f"is missing: {slow} Slow, {throttled} Throttled", stack="Observability")
    gateways = len(graph.of("AWS::EC2::NatGateway"))
    watched = Counter(one.startswith("NatPorts") for one in ids)[True]
    if watched != gateways:
        yield graph.missing(ALARM, f"is missing: {gateways} NAT gateways, {watched} alarms", stack="Observability")


def _elsewhere(graph: Graph) -> Iterator[Violation]:
    """Alarms that are next to their resources, in earlier stacks."""
    environment = graph.environment
    wanted = {("Platform", "CertificateAlarmsNow"), ("Platform", "CertificateAlarmsSoon")}
    wanted |= {("Delivery", f"{words(name)}ReleaseAlarmsFailed") for name in released(environment)}
    redis = environment.redis
    for name in {redis.serves, redis.queue} - {None}:
        plain = str(name).replace("-", "")
        wanted |= {("Redis", f"Alarms{plain}{what}") for what in ("ConnectionFailure", "Errors", "Latency")}
        if redis.instances[str(name)].eviction:
            wanted.add(("Redis", f"Alarms{plain}KeysWithoutExpiry"))
        if (cache := redis.instances[str(name)].elasticache) is not None:
            wanted |= {("Redis", f"Nodes{plain}{what}") for what in ("Connections", "Cpu", "Memory")}
            wanted |= {("Redis", f"Nodes{plain}Lag")} if cache.replicas else set()
            wanted |= {("Redis", f"Nodes{plain}Evictions")} if redis.instances[str(name)].eviction else set()
            wanted.add(("Redis", f"Events{plain}EventsFailed"))
    wanted |= {("Edge", f"RotationAlarms{what}") for what in ("EdgeUserAgent", "RunsSlow1", "RunsThrottled1")}
    if environment.media.quarantine:
        wanted |= {("Observability", f"MediaUpload{what}") for what in ("NotMoved", "NotScanned", "WithThreat")}
        wanted.add(("Observability", "ScanEventsStoppedNotSent"))
    for severity, route in routes(environment.alarms).items():
        if route.webhook_secret is not None:
            wanted.add(("Platform", f"Alarms{severity.capitalize()}WebhookFailed"))
    for function in graph.functions("restart_service"):
        wanted.add((function.stack, function.logical_id.partition("Handler")[0] + "Behind"))
    for stack, each in sorted(wanted):
        if not any(one.stack == stack and one.logical_id.startswith(each) for one in graph.of(ALARM, COMPOSITE)):
            yield graph.missing(ALARM, f"is missing: {each}", stack=stack)
