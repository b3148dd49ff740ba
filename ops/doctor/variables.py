"""Whether GitHub's environments have the variables of the workflows, and services' repositories may call those."""

from collections.abc import Iterator

from config.model import Environment
from infra_runtime.contract.names import stack_name
from ops.doctor.finding import Finding
from ops.errors import InputError, OperatorError
from ops.functions import Clients
from ops.github.api import connection
from ops.github.callers import infrastructure, refusals
from ops.github.differences import differences
from ops.github.settings import outputs_of, settings


def variables(name: str, environment: Environment, clients: Clients) -> Iterator[Finding]:
    """GitHub variables that differ from a deployed environment. None stops a deployment: `--set` needs its outputs.

    Needs a token that may read environments, which a workflow's own token may not. Raises what boto3 raises.
    """
    fix = f"GITHUB_TOKEN=$(gh auth token) ./infra github {name} --set"
    why = "the workflows that read them fail, or build for what the environment had before"
    try:
        with connection() as github:
            if "Authorization" not in github.headers:
                raise InputError("GITHUB_TOKEN is not set")
            outputs = outputs_of(clients, stack_name(environment.product, name, "delivery"))
            needed = list(settings(environment, outputs))
            for each in needed:
                if found := list(differences(each, github)):
                    where = f"GitHub, {each.repository}, environment {each.name}"
                    yield Finding(where=where, what="; ".join(found), why=why, fix=fix, stops=False)
            for refusal in refusals(needed, github):
                where, refused = f"GitHub, workflows of {infrastructure(needed)}", "no job of the caller's run begins"
                yield Finding(where=where, what=refusal.what, why=refused, fix=refusal.fix, stops=False)
    except (InputError, OperatorError) as error:
        where = "GitHub, variables of environments"
        yield Finding(where=where, what=f"not compared: {error}", why=why, fix=fix, stops=False)
