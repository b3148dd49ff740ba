"""Services start after a gate has reached the Redis that they use."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

GATE = "Custom::RedisGate"


@policy(
    reason="With a wrong URL every task of a deployment would start without rate limits, and say so in its log only.",
    failure=Failure.REDIS_FAILS,
    reads={GATE: ("Url", "ServiceToken", "DependsOn"), "AWS::SecretsManager::Secret": ()},
)
def check(graph: Graph) -> Iterator[Violation]:
    redis = graph.environment.redis
    used = {redis.serves} | ({redis.queue} if redis.queue else set())
    gates = graph.of(GATE)
    if len(gates) != len(used):
        yield graph.missing(GATE, f"there are {len(gates)}, must be one for each of {sorted(used)}", stack="Redis")
    for each in gates:
        if "/Instances" not in each.text(each.get("Url")) and "arn:" not in each.text(each.get("Url")):
            yield each.violation("Url", "must be the secret that services read")
        function = each.target("ServiceToken")
        if function is None or function.type != "AWS::Lambda::Function":
            yield each.violation("ServiceToken", "must refer to the probe")
            continue
        waits = each.items("DependsOn")
        # A gate that runs before its groups, permissions or rules exist would wait in vain.
        if not any("Probes" in one and "Policy" in one for one in waits):
            yield each.violation("DependsOn", "must have the permissions of the probe")
