"""Containers get logins and secrets from Secrets Manager, each service only its own."""

import re
from collections.abc import Iterator

from config.variables import secrets as declared
from template_policies import Failure, Graph, Violation, policy
from template_policies.containers import TASK, main_container, secrets, variables
from template_policies.graph import short
from template_policies.owners import owner

_SECRETIVE = re.compile("PASSWORD|SECRET|TOKEN|KEY|(REDIS|DATABASE)_URL")
PATH = "ContainerDefinitions"


@policy(
    reason="A variable of a task definition can be read by anyone who may describe it (FSBP ECS.8); another login has "
    "other rights.",
    failure=Failure.DISCLOSED,
    reads={TASK: (PATH,), "AWS::SecretsManager::Secret": ()},
)
def check(graph: Graph) -> Iterator[Violation]:
    for task in graph.of(TASK):
        container, own = main_container(task), owner(graph, task)
        plain, secret = variables(container), secrets(container)
        # Variables with this prefix are public in every browser.
        for name in plain:
            if _SECRETIVE.search(name) and not name.startswith("NEXT_PUBLIC_") and name not in _NO_SECRETS:
                yield task.violation(f"{PATH}.{container.get('Name')}.Environment", f"has {name} as a plain value")
        for name, value in secret.items():
            text = task.text(value)
            if not re.match(r"\{.+\}|arn:aws[a-z-]*:secretsmanager:", text):
                yield task.violation(f"{PATH}.{container.get('Name')}.Secrets", f"has {name} from {short(value)}")
        if own is None:
            continue
        wanted = set(declared(graph.environment, own.name)) if own.slot is None else set()
        needs = set(own.service.needs)
        wanted |= {"PGUSER", "PGPASSWORD", "DATABASE_URL"} if "database" in needs else set()
        wanted |= {"REDIS_URL"} if "redis" in needs else set()
        wanted |= {"REDIS_QUEUE_URL"} if "queue" in needs else set()
        if own.slot is None and set(secret) != wanted:
            yield task.violation(
                f"{PATH}.{container.get('Name')}.Secrets", f"has {sorted(secret)}, must have {sorted(wanted)}"
            )
        if "database" not in needs:
            continue
        missing = {"PGHOST", "PGDATABASE", "PGSSLMODE"} - set(plain)
        if missing or plain.get("PGSSLMODE") != "verify-full":
            yield task.violation(
                f"{PATH}.{container.get('Name')}.Environment", f"must have {sorted(missing)} and verify-full"
            )
        login = "Owner" if container.get("Name") == "migrate" else "User"
        if own.slot is None:
            for name in ("PGUSER", "PGPASSWORD", "DATABASE_URL"):
                if f"/DatabaseLogins{login}" not in task.text(secret.get(name)):
                    yield task.violation(
                        f"{PATH}.{container.get('Name')}.Secrets", f"has {name} of another login than {login}"
                    )


# Variables with names like secrets', and their actual content.
_NO_SECRETS = ("REDIS_KEY_PREFIX", "KEEP_ALIVE_TIMEOUT")
