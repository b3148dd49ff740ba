"""Services' secrets: a release misses absent ones, new tasks read changed ones, and no one else sees them."""

import json
from collections.abc import Callable

import pytest

from rehearsal.account import Account
from rehearsal.checks import CHECKS, Status, read_back, secrets

OWN = [each for each in CHECKS if each.about in ("Secrets", "Leaks")]


def test_every_check_of_secrets_passes(development: Account) -> None:
    findings = list(read_back(development, OWN))
    assert [each.found for each in findings if each.status is not Status.PASSED] == []
    assert "new tasks of api, mailer have read it, those of frontend run on" in findings[1].found
    assert "requests failed, all of them signed with the old key" in findings[1].found


def _value(development: Account) -> str:
    found: str = development.client("secretsmanager").get_secret_value(SecretId="daadaar/crm")["SecretString"]
    return found


def _in_a_log(development: Account) -> None:
    logs = development.client("logs")
    (group,) = logs.describe_log_groups(limit=1)["logGroups"]
    where = {"logGroupName": group["logGroupName"], "logStreamName": "leak"}
    logs.create_log_stream(**where)
    logs.put_log_events(**where, logEvents=[{"timestamp": 0, "message": f"using {_value(development)}"}])


def _in_the_ledger(development: Account) -> None:
    table = development.resource("Registry", "AWS::DynamoDB::Table")
    item = {"service": {"S": "leak"}, "id": {"S": "leak"}, "reason": {"S": _value(development)}}
    development.client("dynamodb").put_item(TableName=table, Item=item)


def _in_a_task_definition(development: Account) -> None:
    container = {"name": "leak", "image": "leak", "environment": [{"name": "CRM_KEY", "value": _value(development)}]}
    development.client("ecs").register_task_definition(family="leak", containerDefinitions=[container])


def _in_a_template(development: Account) -> None:
    resource = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": _value(development)}}
    development.client("cloudformation").create_stack(
        StackName=development.stack_name("leak"), TemplateBody=json.dumps({"Resources": {"Leak": resource}})
    )


def _in_the_assembly(development: Account) -> None:
    (development.cdk.workspace / "cdk.out" / "leak.json").write_text(_value(development))


LEAKS = {
    _in_a_log: "the log ",
    _in_the_ledger: "the table ",
    _in_a_task_definition: "the task definition ",
    _in_a_template: "the template of ",
    _in_the_assembly: "cdk.out/leak.json",
}


def test_a_value_where_others_read_is_found(development: Account) -> None:
    """A new value, which has leaked nowhere yet."""
    development.client("secretsmanager").put_secret_value(SecretId="daadaar/crm", SecretString="new-value-that-leaks")
    already = _leaks(development)
    for leak in LEAKS:
        leak(development)
    found = _leaks(development) - already
    assert len(found) == len(LEAKS)
    for where in LEAKS.values():
        assert [each for each in found if each.startswith(f"daadaar/crm in {where}")], where


def _leaks(development: Account) -> set[str]:
    (finding,) = read_back(development, [each for each in OWN if each.about == "Leaks"])
    return set(finding.found.split("; ")) if finding.status is Status.FAILED else set()


def _nobody_listens(development: Account) -> None:
    events = development.client("events")
    for page in events.get_paginator("list_rules").paginate():
        for rule in page["Rules"]:
            if "Secret Label Updated" in rule.get("EventPattern", ""):
                events.disable_rule(Name=rule["Name"])


def _the_release_function_knows_of_none(development: Account) -> None:
    functions = development.client("lambda")
    for name in development.resources("Delivery", "AWS::Lambda::Function"):
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
def test_each_sabotage_fails_its_check(
    sabotage: Callable[[Account], None], about: str, development: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_REPLACED_WITHIN_SECONDS", 5.0)
    sabotage(development)
    broken = [each.found for each in read_back(development, OWN[:2]) if each.status is Status.FAILED]
    assert [each for each in broken if about in each]
