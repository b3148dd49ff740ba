"""`infra doctor`: obstacles to a deployment that are not in the code, in a new account and in a deployed one."""

from collections.abc import Collection, Iterator, Sequence

from config import Problem, available
from config.model import Environment
from infra_runtime.contract.names import stack_name
from ops.console import Console
from ops.doctor import account, deployed
from ops.doctor.finding import Finding, row
from ops.doctor.forgotten import forgotten
from ops.doctor.quotas import quotas
from ops.doctor.recipients import recipients
from ops.doctor.secrets import secrets
from ops.doctor.slack import RegionalClients, slack
from ops.doctor.subjects import subjects
from ops.doctor.variables import variables
from ops.doctor.zone import zone
from ops.effects.template import Templates
from ops.progress import working
from ops.report import report
from ops.review import COMMITS, acknowledgements
from ops.templates import synthesized


def clash(problem: Problem) -> Finding:
    """Between this environment's file and another's. Only doctor reports it."""
    what, *rest = str(problem).splitlines()
    fix = "; ".join(line.strip() for line in rest)
    return Finding(where=str(problem.file), what=what, why="The next deployment is refused.", fix=fix)


def examine(
    name: str,
    environment: Environment,
    clients: RegionalClients,
    templates: Templates,
    *,
    others: Sequence[Environment] = (),
    acknowledged: Collection[str] = (),
) -> Iterator[Finding]:
    """`templates` are those of the code; `others` live in the same account and region; `acknowledged` are names of
    effects. Raises what boto3 raises.
    """
    is_deployed = account.is_in(clients, stack_name(environment.product, name, "delivery"))
    yield from account.bootstrap(environment, clients)
    yield from account.service_linked_roles(environment, clients)
    yield from account.oidc_provider(environment, clients, is_deployed=is_deployed)
    yield from subjects(environment)
    if is_deployed:
        yield from variables(name, environment, clients)
        yield from recipients(clients, templates, stack_name(environment.product, name, "platform"))
    else:
        yield from account.free_plan(environment, clients)
        yield from account.cost_explorer(environment, clients)
    yield from slack(name, environment, clients)
    yield from quotas(environment, others, clients)
    yield from secrets(environment, clients)
    yield from zone(environment, templates, clients)
    yield from deployed.examine(name, environment, clients, templates, acknowledged)
    yield from forgotten(clients, environment.product, {name, *available()})


def repair(findings: Sequence[Finding], console: Console) -> None:
    """Raises what boto3 raises."""
    for finding in findings:
        if finding.repair is not None:
            console.print(f"{finding.where}: {finding.fix}", highlight=False)
            finding.repair()


def doctor(
    name: str,
    environment: Environment,
    clients: RegionalClients,
    console: Console,
    *,
    others: Sequence[Environment],
    clashes: Sequence[Problem],
    fix: bool,
    as_json: bool,
) -> None:
    """Exit code 3 when anything stops a deployment, with `fix` also after the fixes. Raises `OperatorError`."""
    templates, acknowledged = synthesized(name), acknowledgements(f"--max-count={COMMITS}")

    def findings() -> list[Finding]:
        with working(f"examining account {environment.aws.account} and zone {environment.domains.zone}"):
            return list(examine(name, environment, clients, templates, others=others, acknowledged=acknowledged))

    found = findings()
    if fix:
        repair(found, console)
        found = findings()
    found = [*map(clash, clashes), *found]
    stops = any(each.stops for each in found)
    nothing = f"Nothing stops a deployment of {name}."
    report([row(each) for each in found], nothing, console, as_json=as_json, fails=stops)
