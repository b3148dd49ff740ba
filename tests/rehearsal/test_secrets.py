"""Secrets that services name: missed before a release, read by new tasks after a change, seen by nobody else."""

import json
from collections.abc import Callable, Iterator

import pytest

from config import ENVIRONMENTS, load
from rehearsal.account import Account, opened
from rehearsal.cdk_cli import CdkCli
from rehearsal.checks import CHECKS, Status, read_back, secrets
from rehearsal.variants import with_secrets

NAME = "dev"
SECRETS = {
    "api": {
        "SESSION_SECRET": "daadaar/app:session",
        "SESSION_SECRET_PREVIOUS": "daadaar/app:session_previous",
        "MAIL_KEY": "daadaar/app:mail",
    },
    "frontend": {"CRM_KEY": "daadaar/crm"},
}
WORKER = """
[services.mailer]
runs = "api"
command = ["node", "-e", "setInterval(() => {}, 1000)"]
min_tasks = 1
max_tasks = 1
"""
OWN = [each for each in CHECKS if each.about in ("Secrets", "Leaks")]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("secrets")
    environments = with_secrets(ENVIRONMENTS, NAME, SECRETS, into=folder / "environments")
    with (environments / f"{NAME}.toml").open("a") as file:
        file.write(WORKER)
    environment = load([NAME], directory=environments)[NAME]
    assembly = folder / "cdk.out"
    options = ("--context", f"env={NAME}", "--context", f"environments={environments}", "--output", str(assembly))
    CdkCli(environment.aws.account, environment.aws.region, folder).run("synth", "--quiet", *options, validated=False)
    with opened(NAME, environment, folder) as found:
        found.cdk.bootstrap(assembly)
        found.prepare()
        found.cdk.deploy(assembly, f"{NAME}/*")
        yield found


def test_every_check_of_secrets_passes(account: Account) -> None:
    findings = list(read_back(account, OWN))
    assert [each.found for each in findings if each.status is not Status.PASSED] == []
    assert "new tasks of api, mailer have read it, those of frontend run on" in findings[1].found
    assert "requests failed, all of them signed with the old key" in findings[1].found


def _value(account: Account) -> str:
    found: str = account.client("secretsmanager").get_secret_value(SecretId="daadaar/crm")["SecretString"]
    return found


def _in_a_log(account: Account) -> None:
    logs = account.client("logs")
    (group,) = logs.describe_log_groups(limit=1)["logGroups"]
    where = {"logGroupName": group["logGroupName"], "logStreamName": "leak"}
    logs.create_log_stream(**where)
    logs.put_log_events(**where, logEvents=[{"timestamp": 0, "message": f"using {_value(account)}"}])


def _in_the_ledger(account: Account) -> None:
    table = account.resource("Registry", "AWS::DynamoDB::Table")
    item = {"service": {"S": "leak"}, "id": {"S": "leak"}, "reason": {"S": _value(account)}}
    account.client("dynamodb").put_item(TableName=table, Item=item)


def _in_a_task_definition(account: Account) -> None:
    container = {"name": "leak", "image": "leak", "environment": [{"name": "CRM_KEY", "value": _value(account)}]}
    account.client("ecs").register_task_definition(family="leak", containerDefinitions=[container])


def _in_a_template(account: Account) -> None:
    resource = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": _value(account)}}
    account.client("cloudformation").create_stack(
        StackName=account.stack_name("leak"), TemplateBody=json.dumps({"Resources": {"Leak": resource}})
    )


def _in_the_assembly(account: Account) -> None:
    (account.cdk.workspace / "cdk.out" / "leak.json").write_text(_value(account))


LEAKS = [
    (_in_a_log, "the log "),
    (_in_the_ledger, "the table "),
    (_in_a_task_definition, "the task definition "),
    (_in_a_template, "the template of "),
    (_in_the_assembly, "cdk.out/leak.json"),
]


@pytest.mark.parametrize(("leak", "where"), LEAKS, ids=[each[0].__name__.strip("_") for each in LEAKS])
def test_a_value_where_others_read_is_found(leak: Callable[[Account], None], where: str, account: Account) -> None:
    """A new value each time, which has leaked nowhere yet."""
    account.client("secretsmanager").put_secret_value(SecretId="daadaar/crm", SecretString=f"new-{leak.__name__}")
    already = _leaks(account)
    leak(account)
    (found,) = _leaks(account) - already
    assert found.startswith(f"daadaar/crm in {where}")


def _leaks(account: Account) -> set[str]:
    (finding,) = read_back(account, [each for each in OWN if each.about == "Leaks"])
    return set(finding.found.split("; ")) if finding.status is Status.FAILED else set()


def _nobody_listens(account: Account) -> None:
    events = account.client("events")
    for page in events.get_paginator("list_rules").paginate():
        for rule in page["Rules"]:
            if "Secret Label Updated" in rule.get("EventPattern", ""):
                events.disable_rule(Name=rule["Name"])


def _the_release_function_knows_of_none(account: Account) -> None:
    functions = account.client("lambda")
    for name in account.resources("Delivery", "AWS::Lambda::Function"):
        variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        if "SECRETS" in variables:
            functions.update_function_configuration(
                FunctionName=name, Environment={"Variables": {**variables, "SECRETS": "[]"}}
            )


@pytest.mark.parametrize(
    ("sabotage", "about"),
    [(_the_release_function_knows_of_none, "is not refused"), (_nobody_listens, "old tasks of")],
    ids=["release", "restart"],
)
def test_what_is_broken_fails_its_check(
    sabotage: Callable[[Account], None], about: str, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_REPLACED_WITHIN_SECONDS", 5.0)
    sabotage(account)
    broken = [each.found for each in read_back(account, OWN[:2]) if each.status is Status.FAILED]
    assert [each for each in broken if about in each]
