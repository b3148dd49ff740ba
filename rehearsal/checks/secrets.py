"""Secrets: a command changes them, a release requires them, and their values appear nowhere else."""

import hmac
import io
import json
from collections.abc import Iterator
from secrets import token_hex
from typing import Any
from urllib.parse import unquote, urlsplit

import psutil

from config import services, variables
from infra_runtime.release.preflight import UNDER_WAY, deployments, tasks_of
from ops.console import Console
from ops.doctor.secrets import secrets as doctor
from ops.errors import OperatorError
from ops.previews.commands import PreviewSlots, start
from ops.releases import commands as releases
from ops.releases.status import service_status
from ops.secrets import commands
from rehearsal.account import Account
from rehearsal.checks.assertions import not_on_this_plan, require, wait_until
from rehearsal.checks.load import unnoticed
from rehearsal.checks.releases import first_release, place_of
from rehearsal.pipeline import PREVIEW, RELEASE, Pipeline
from rehearsal.push import push

_REPLACED_WITHIN_SECONDS = 60.0
# Shorter values appear by chance.
_SHORTEST = 10
# Fields of a secret's JSON that are no secret. A `url` is an address, or repeats the password beside it.
_PUBLIC_FIELDS = ("username", "email", "engine", "host", "dbname", "certificate", "url")


def missing_refuses_release(account: Account) -> str:
    """A release is refused while a secret is missing, although IAM answers AccessDenied for a missing secret."""
    service, _, name, _ = _first(account)
    released = account.environment.services[service].runs or service
    image = push(account, released, f"secret-{token_hex(4)}")
    manager = account.client("secretsmanager")
    value = manager.get_secret_value(SecretId=name)["SecretString"]
    manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    output = _checked(account, released, image)
    _stored(account, name, value)
    require(f"{name} does not exist" in output, f"the release is not refused: {output}")
    require(f"./infra secret set ENV {name}" in output, f"the command is not named: {output}")
    after = _checked(account, released, image)
    require(name not in after, f"it is there again, and the release is refused: {after}")
    return f"{name} deleted: refused before anything changes, with the command that stores it"


def changed(account: Account) -> str:
    """`infra secret set` replaces the tasks that read the secret, in an account without CloudTrail."""
    service, variable, name, field = _first(account)
    first_release(account)
    # A worker's deployment follows the service's; until it ends, a changed secret waits for the schedule.
    wait_until(lambda: not _deploying(account), lambda: f"{_deploying(account)} still deploy", seconds=60.0)
    keeps_previous = f"{variable}_PREVIOUS" in variables.secrets(account.environment, service)
    path = "/"
    if keeps_previous and service == account.main:
        # Users who signed in before the change: their sessions are signed with the current key.
        key = json.loads(account.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])[field]
        path = f"/session?token={hmac.new(key.encode(), b'session', 'sha256').hexdigest()}"
    with unnoticed(account, path) as users:
        found = _changed(account, keeps_previous=keeps_previous)
    signed = ", all of them signed with the old key" if path != "/" else ""
    return f"{found}; none of {users.requests} requests failed{signed}"


def _changed(account: Account, *, keeps_previous: bool) -> str:
    _, variable, name, field = _first(account)
    value, before = f"changed-{token_hex(8)}", _tasks(account)
    readers = {service for service, each in account.services() if name in _read_by(account, each)}
    reference = f"{name}:{field}" if field else name
    output = _stored(account, reference, value, keeps_previous=keeps_previous)
    require(value not in output, "infra secret set prints the value")
    wait_until(
        lambda: all(now and not now & before[each] for each, now in _tasks(account).items() if each in readers),
        lambda: f"old tasks of {', '.join(sorted(readers))} still run",
        seconds=_REPLACED_WITHIN_SECONDS,
        every=0.2,
    )
    require(value in _in_processes(variable), f"no new task has read the new value of {variable}")
    others = before.keys() - readers
    disturbed = [each for each, now in _tasks(account).items() if each in others and now != before[each]]
    require(not disturbed, f"tasks of {', '.join(disturbed)} were replaced, too")
    return (
        f"infra secret set; new tasks of {', '.join(sorted(readers))} have read it, "
        f"those of {', '.join(sorted(others)) or 'no other service'} run on"
    )


def unseen(account: Account) -> str:
    """Searches templates, logs, tables and outputs for every value in Secrets Manager, earlier versions included."""
    values, texts = dict(_values(account)), list(_texts(account))
    found = sorted({f"{name} in {where}" for where, text in texts for value, name in values.items() if value in text})
    require(not found, "; ".join(found[:5]))
    megabytes = sum(len(text) for _, text in texts) / 1e6
    return f"{len(values)} values searched for in {len(texts)} texts, {megabytes:.0f} MB; none found"


def _first(account: Account) -> tuple[str, str, str, str | None]:
    """(service, variable, secret, field) of the first secret that a service names."""
    named = [
        (service, variable, name, field)
        for service in services.on_ecs(account.environment)
        for variable, (name, field) in variables.secrets(account.environment, service).items()
    ]
    if not named:
        not_on_this_plan("no service names a secret")
    return named[0]


def _stored(account: Account, reference: str, value: str, *, keeps_previous: bool = False) -> str:
    """Runs `infra secret set`, and returns what it prints."""
    output = io.StringIO()
    place = commands.SecretPlace(account.name, account.environment, account)
    to, console = commands.chosen(account.environment, reference), Console(file=output, width=200)
    commands.put(place, to, value, console, keeps_previous=keeps_previous)
    return output.getvalue()


def _checked(account: Account, service: str, image: str) -> str:
    """Runs `infra release --check` as the service's workflow does, and returns its output or its error."""
    printed, place = io.StringIO(), place_of(Pipeline(account).runs(RELEASE, service), service)
    try:
        releases.release(place, image, Console(file=printed, width=200), note=None, check_only=True)
    except OperatorError as error:
        return str(error)
    return printed.getvalue()


def _previewed(account: Account, service: str, image: str) -> str:
    """The error with which `infra preview start` refuses to begin."""
    previews = PreviewSlots(account.name, account.environment, Pipeline(account).runs(PREVIEW, service))
    try:
        start(previews, "a-secret-is-missing", service, image, Console(file=io.StringIO()), as_json=False)
    except OperatorError as error:
        return str(error)
    return "it has begun"


def _tasks(account: Account) -> dict[str, set[str]]:
    """ARNs of the tasks that run, by service."""
    ecs = account.client("ecs")
    return {
        service: {task["taskArn"] for task in tasks_of(ecs, each, desiredStatus="RUNNING")}
        for service, each in account.services()
    }


def _deploying(account: Account) -> list[str]:
    ecs = account.client("ecs")
    return [
        service
        for service, each in account.services()
        if any(deployments(ecs, {"clusterArn": each["clusterArn"], "serviceArn": each["serviceArn"]}, status=UNDER_WAY))
    ]


def _read_by(account: Account, service: dict[str, Any]) -> list[str]:
    """Names of the secrets to which the service's container refers by name."""
    references = [each["valueFrom"] for each in account.container(service).get("secrets", [])]
    return [reference.split(":")[6] for reference in references]


def _in_processes(variable: str) -> list[str]:
    """Values of the variable in the running containers, which are processes here."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            found.append(process.environ().get(variable, ""))
        except psutil.Error:  # it has just ended, or belongs to another user
            continue
    return found


def _values(account: Account) -> Iterator[tuple[str, str]]:
    """(value that must appear nowhere, name of its secret)."""
    manager = account.client("secretsmanager")
    for page in manager.get_paginator("list_secrets").paginate():
        for secret in page["SecretList"]:
            name = secret["Name"]
            for version in manager.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]:
                value = manager.get_secret_value(SecretId=name, VersionId=version["VersionId"]).get("SecretString", "")
                yield from ((each, name) for each in _parts(value) if len(each) >= _SHORTEST)


def _parts(value: str) -> Iterator[str]:
    """A value, or the fields of its JSON; of a URL the password, of a PEM each line."""
    try:
        document = json.loads(value)
    except ValueError:
        document = value
    fields = document if isinstance(document, dict) else {"": value}
    for key, text in fields.items():
        if key in _PUBLIC_FIELDS or not isinstance(text, str):
            continue
        if "://" in text and (password := urlsplit(text).password):
            yield from (password, unquote(password))
        else:
            yield from (line for line in text.splitlines() if not line.startswith("-----"))


def _texts(account: Account) -> Iterator[tuple[str, str]]:
    """(place, its text)."""
    workspace = account.cdk.workspace
    for file in [*workspace.glob("cdk.out*/**/*"), *workspace.glob("cdk.log")]:
        if file.is_file() and file.suffix != ".zip":
            yield str(file.relative_to(workspace)), file.read_text(errors="replace")
    yield from _of_stacks(account)
    logs, dynamodb, ecs = (account.client(each) for each in ("logs", "dynamodb", "ecs"))
    for group in (each for page in _pages(logs, "describe_log_groups") for each in page["logGroups"]):
        for page in _pages(logs, "filter_log_events", logGroupName=group["logGroupName"]):
            yield f"the log {group['logGroupName']}", "\n".join(each["message"] for each in page["events"])
    for table in (each for page in _pages(dynamodb, "list_tables") for each in page["TableNames"]):
        yield from ((f"the table {table}", str(page["Items"])) for page in _pages(dynamodb, "scan", TableName=table))
    for page in _pages(account.client("lambda"), "list_functions"):
        for function in page["Functions"]:
            yield f"variables of the function {function['FunctionName']}", str(function.get("Environment"))
    for arn in (each for page in _pages(ecs, "list_task_definitions") for each in page["taskDefinitionArns"]):
        yield f"the task definition {arn}", str(ecs.describe_task_definition(taskDefinition=arn))
    yield from _printed(account)


def _of_stacks(account: Account) -> Iterator[tuple[str, str]]:
    cloudformation = account.client("cloudformation")
    for name in account.stacks():
        yield f"the template of {name}", str(cloudformation.get_template(StackName=name)["TemplateBody"])
        yield f"parameters and outputs of {name}", str(cloudformation.describe_stacks(StackName=name)["Stacks"])
        for page in _pages(cloudformation, "describe_stack_events", StackName=name):
            yield f"events of {name}", str(page["StackEvents"])


def _printed(account: Account) -> Iterator[tuple[str, str]]:
    """Output of commands that read secrets, which people may pipe into a log."""
    place = commands.SecretPlace(account.name, account.environment, account)
    for as_json in (True, False):
        output = io.StringIO()
        commands.show(place, Console(file=output, width=200), as_json=as_json)
        yield "infra secret list", output.getvalue()
    yield "infra doctor", str(list(doctor(account.environment, account)))
    yield "infra status", str(service_status(place_of(account)))


def _pages(client: Any, operation: str, **request: Any) -> Any:
    return client.get_paginator(operation).paginate(**request)
