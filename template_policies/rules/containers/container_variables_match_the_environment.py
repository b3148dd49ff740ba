"""A service's container has exactly the variables of its file, its needs and its settings."""

import re
from collections.abc import Iterator

from config import variables as names
from template_policies import Failure, Graph, Resource, Violation, policy
from template_policies.containers import TASK, main_container, secrets, variables
from template_policies.graph import number, short
from template_policies.owners import Owner, owner

# Variables that a service's own variable may replace (docs/application-contract.md).
DEFAULTS = {
    "HOME": "/tmp", "HOSTNAME": "0.0.0.0", "NODE_ENV": "production",  # noqa: S104, S108
    "NODE_EXTRA_CA_CERTS": "/infra/rds-authority.pem", "PGSSLROOTCERT": "/infra/rds-authority.pem",
}  # fmt: skip
PATH = "ContainerDefinitions"
FUNCTION = "AWS::Lambda::Function"
# Task definitions that have the service's variables.
_BESIDE = re.compile(r"(OneOff|Migration)TaskDefinition")
# The load balancer reuses a connection that was idle for this long.
_IDLE_MS = 60_000
# Plain in a preview alone; then those that a preview has none of: its errors are in its logs only.
_OF_PREVIEWS = {
    *("PGUSER", "REDIS_KEY_PREFIX"),
    *(*names.OF_SENTRY, *names.OF_SENTRY_IN_BROWSERS, *names.OF_POSTHOG),
}
# Those of what serves, of what runs npm, and of a preview, whose schema has an owner.
_OWN_TO_EACH = {"KEEP_ALIVE_TIMEOUT", "PORT", "npm_config_cache", "PGUSER"}


@policy(
    reason="A missing variable is found by the first request that needs it, often long after the release.",
    failure=Failure.TASK_DIES,
    reads={
        TASK: (PATH,),
        "AWS::ECS::Service": ("TaskDefinition", "LoadBalancers"),
        "AWS::Logs::LogGroup": (),
        FUNCTION: ("LoggingConfig",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    serving = {task.where for each in graph.of("AWS::ECS::Service") if (task := each.target("TaskDefinition"))}
    logs: dict[str, str] = {}
    of_functions = {
        group.where for each in graph.of(FUNCTION) if (group := each.target("LoggingConfig.LogGroup")) is not None
    }
    plain_of = {
        (own.name, own.slot): variables(main_container(task))
        for task in graph.of(TASK)
        if task.where in serving and (own := owner(graph, task)) is not None
    }
    of_service = {
        own.name: secrets(main_container(task))
        for task in graph.of(TASK)
        if task.where in serving and (own := owner(graph, task)) is not None and own.slot is None
    }
    for task in graph.of(TASK):
        own, container = owner(graph, task), main_container(task)
        name = container.get("Name")
        plain = variables(container)
        for key, value in DEFAULTS.items():
            if key not in (own.service.variables if own else {}) and plain.get(key) != value:
                yield task.violation(
                    f"{PATH}.{name}.Environment", f"has {key} {short(plain.get(key))}, must be {value}"
                )
        for each in container.get("Environment", []):
            if set(each) != {"Name", "Value"}:
                yield task.violation(f"{PATH}.{name}.Environment", f"has {short(each)}, must have name and value")
        group = graph.target(task.stack, container.get("LogConfiguration", {}).get("Options", {}).get("awslogs-group"))
        if group is not None and logs.setdefault(group.where, task.where) != task.where:
            yield task.violation(f"{PATH}.{name}.LogConfiguration", f"uses the log group of {logs[group.where]}")
        if group is not None and group.where in of_functions:
            yield task.violation(f"{PATH}.{name}.LogConfiguration", "uses a function's log group")
        if own is not None and _BESIDE.search(task.logical_id):
            expected = plain_of.get((own.name, own.slot), {})
            different = {key for key in {*plain, *expected} if plain.get(key) != expected.get(key)} - _OWN_TO_EACH
            if different:
                yield task.violation(f"{PATH}.{name}.Environment", f"is not the service's: {sorted(different)}")
        if own is not None and task.where in serving and own.service.port is not None:
            ports = [each.get("ContainerPort") for each in container.get("PortMappings", [])]
            if ports != [own.service.port] or plain.get("PORT", str(own.service.port)) != str(own.service.port):
                yield task.violation(f"{PATH}.{name}.PortMappings", f"is {ports}, must be {own.service.port}")
        if own is not None and own.slot is not None:
            # The login's name is that of the slot, and no secret.
            wanted = set(of_service.get(own.name, ())) - {"PGUSER"}
            if set(secrets(container)) != wanted:
                yield task.violation(
                    f"{PATH}.{name}.Secrets", f"are {sorted(secrets(container))}, must be {sorted(wanted)}"
                )
        if own is None or task.where not in serving:
            continue
        if own.slot is not None:
            unlike = sorted((plain_of.get((own.name, None), {}).keys() ^ plain.keys()) - _OF_PREVIEWS)
            if unlike:
                yield task.violation(f"{PATH}.{name}.Environment", f"differs from the service's in {unlike}")
        yield from _as_declared(graph, task, own)


def _as_declared(graph: Graph, task: Resource, own: Owner) -> Iterator[Violation]:
    """Compares a service's task with the environment's file."""
    environment, container = graph.environment, main_container(task)
    path, plain = f"{PATH}.{container.get('Name')}.Environment", variables(container)
    keep_alive = number(plain.get("KEEP_ALIVE_TIMEOUT"))
    if own.service.port is not None and (keep_alive is None or keep_alive <= _IDLE_MS):
        yield task.violation(path, f"has KEEP_ALIVE_TIMEOUT {short(keep_alive)}, must be over {_IDLE_MS}")
    for key, value in names.resolved(environment, graph.name, own.name, slot=own.slot).items():
        if plain.get(key) != value:
            yield task.violation(path, f"has {key} {short(plain.get(key))}, must be {value}")
    if own.slot is not None:
        return
    known = {*plain, *secrets(container)}
    wanted = {
        *names.provided(environment, own.name),
        *names.declared(environment, own.name),
        *names.secrets(environment, own.name),
    }
    # Previews share one Redis; a site has the release of its build (docs/sentry.md).
    missing = wanted - known - {"REDIS_KEY_PREFIX"} - ({"SENTRY_RELEASE"} if own.service.site else set())
    if missing:
        yield task.violation(path, f"lacks {sorted(missing)}")
    pool, wanted_pool = plain.get("PG_POOL_MAX"), own.service.database_connections
    if pool is not None and wanted_pool is not None and pool != str(wanted_pool):
        yield task.violation(path, f"has PG_POOL_MAX {pool}, must be {wanted_pool}")
