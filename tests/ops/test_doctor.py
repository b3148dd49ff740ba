"""`infra doctor`: nothing to say of an account that is as it was deployed, and something of each that is not."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import ClientError

from config import load
from config.model import Amplify
from ops import doctor, review
from ops.console import Console
from ops.doctor import deployed
from ops.doctor.finding import Finding
from ops.doctor.recipients import recipients
from ops.doctor.zone import zone
from ops.functions import physical_ids
from ops.releases.target import ReleaseTarget
from rehearsal.account import Account
from simulators.aws.deliveries import read

Templates = dict[str, dict[str, Any]]
PLATFORM = "daadaar-production-platform"


@pytest.fixture
def wanted(templates: Templates, production: Account, monkeypatch: pytest.MonkeyPatch) -> Templates:
    """Templates of the code; each test changes its own copy."""
    mine = {
        f"daadaar-{name.lower().replace('/', '-')}": json.loads(json.dumps(each))
        for name, each in templates.items()
        if name.startswith("production/")
    }
    monkeypatch.setenv("CLOUDFLARE_BASE_URL", production.cloudflare_url)
    monkeypatch.setenv("GITHUB_API_URL", production.github_url)
    return mine


def problems(account: Account, wanted: Templates) -> list[str]:
    """Doctor's findings, without those about the account (tests/ops/test_first_day.py)."""
    found = doctor.examine("production", account.environment, account, wanted)
    return [f"{each.where}: {each.what}" for each in found if each.where.startswith("daadaar-")]


def test_doctor_has_no_objection_to_what_is_deployed(wanted: Templates, production: Account) -> None:
    assert problems(production, wanted) == []


def test_the_same_code_has_no_effect_on_what_is_deployed(production: Account) -> None:
    found = review.deployed("production", production.environment, production)
    assert (found.open, "Nothing changes." in found.markdown) == ((), True)


def test_a_plan_is_another_one_once_the_code_or_what_is_deployed_has_changed(
    wanted: Templates, production: Account
) -> None:
    def plan() -> str:
        return review.deployed("production", production.environment, production, wanted).plan

    before = plan()
    assert plan() == before
    queue = {"Type": "AWS::SQS::Queue", "Properties": {}}
    wanted["daadaar-production-network"]["Resources"]["More"] = queue
    assert plan() != before
    cloudformation, body = production.client("cloudformation"), json.dumps({"Resources": {"More": queue}})
    del wanted["daadaar-production-network"]["Resources"]["More"]
    tags = [{"Key": "product", "Value": "daadaar"}, {"Key": "environment", "Value": "production"}]
    cloudformation.create_stack(StackName="daadaar-production-more", TemplateBody=body, Tags=tags)
    try:
        assert plan() != before
    finally:
        cloudformation.delete_stack(StackName="daadaar-production-more")


@pytest.mark.parametrize("path", ["/workers/scripts", "/workers/routes"])
def test_a_token_that_cannot_turn_on_maintenance_is_reported_before_an_incident(
    path: str, wanted: Templates, production: Account
) -> None:
    world = production.cloudflare.world
    world.forbidden = path
    try:
        (finding,) = zone(production.environment, wanted, production)
    finally:
        world.forbidden = ""
    assert ("infra maintenance on" in finding.why, finding.stops) == (True, False)


@pytest.mark.parametrize("status", ["initializing", "pending_validation"])
def test_a_zone_without_its_certificate_at_the_edge_is_reported_before_users_see_it(
    status: str, wanted: Templates, production: Account
) -> None:
    """Cloudflare needs up to a day for the certificate of a new zone."""
    assert list(zone(production.environment, wanted, production)) == []
    production.zone.edge_certificate = status
    try:
        (finding,) = zone(production.environment, wanted, production)
    finally:
        production.zone.edge_certificate = "active"
    assert (
        finding.what
        == "no certificate at the edge covers api.daadaar.com, daadaar.com, media.daadaar.com, www.daadaar.com"
    )
    assert not finding.stops


def test_findings_that_stop_no_deployment_are_printed_with_exit_code_0(
    wanted: Templates, production: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    production.github.repositories["daadaar/backend"].is_private = True
    try:
        doctor.doctor(
            "production", production.environment, production, Console(), others=(), clashes=(), fix=False, as_json=True
        )
    finally:
        production.github.repositories["daadaar/backend"].is_private = False
    found = json.loads(capsys.readouterr().out)
    assert [each["stops"] for each in found] == [False] * len(found)
    assert any(each["what"].startswith("not checked: daadaar/backend") for each in found)


def _of_type(template: dict[str, Any], kind: str) -> tuple[str, dict[str, Any]]:
    return next((name, each) for name, each in template["Resources"].items() if each["Type"] == kind)


def _rename_a_rule(wanted: Templates) -> str:
    resources = wanted["daadaar-production-api"]["Resources"]
    name, _ = _of_type(wanted["daadaar-production-api"], "AWS::ElasticLoadBalancingV2::ListenerRule")
    resources["Another"] = resources.pop(name)
    return f"daadaar-production-api: Another is new and the same as {name}"


def _rename_the_database(wanted: Templates) -> str:
    resources = wanted["daadaar-production-data"]["Resources"]
    name, _ = _of_type(wanted["daadaar-production-data"], "AWS::RDS::DBInstance")
    resources["Another"] = resources.pop(name)
    return f"{name} is not in the code any more (DeletionPolicy Snapshot), and Another is a new one"


def _drop_an_export(wanted: Templates) -> str:
    outputs = wanted["daadaar-production-data"]["Outputs"]
    name = next(key for key in outputs if "DatabaseLoginsUser" in key)
    del outputs[name]
    return f"{name} would be removed, while daadaar-production-api still imports it"


def _drop_a_stack(wanted: Templates) -> str:
    del wanted["daadaar-production-delivery"]
    return "daadaar-production-delivery: is not in the code any more, and stays"


@pytest.mark.parametrize("spoil", [_rename_a_rule, _rename_the_database, _drop_an_export, _drop_a_stack])
def test_harmful_effects_are_reported_before_a_deployment(
    spoil: Callable[[Templates], str], wanted: Templates, production: Account
) -> None:
    expected = spoil(wanted)
    assert any(expected in each for each in problems(production, wanted))


def test_an_acknowledged_effect_stops_nothing(wanted: Templates, production: Account) -> None:
    _rename_the_database(wanted)
    (found,) = effects_of(production, wanted)
    name = found.fix.rpartition("Acknowledge: ")[2]
    assert effects_of(production, wanted, name) == []
    assert effects_of(production, wanted, name.replace("gone-", "gone-0")) == [found]


def effects_of(account: Account, wanted: Templates, *acknowledged: str) -> list[Finding]:
    return list(deployed.examine("production", account.environment, account, wanted, acknowledged))


def test_a_hostname_changes_only_while_the_load_balancer_does_what_the_template_says(
    wanted: Templates, production: Account
) -> None:
    stack = "daadaar-production-api"
    rules = {
        name: each["Properties"]
        for name, each in wanted[stack]["Resources"].items()
        if each["Type"] == "AWS::ElasticLoadBalancingV2::ListenerRule"
    }
    for each in rules.values():
        each["Conditions"][0]["HostHeaderConfig"]["Values"] = ["other.daadaar.com"]
    ids, elbv2 = physical_ids(production, stack), production.client("elbv2")
    live = {name: elbv2.describe_rules(RuleArns=[ids[name]])["Rules"][0]["Actions"] for name in rules}

    def divided(blue: int, green: int) -> list[str]:
        for name, actions in live.items():
            groups = [
                {"TargetGroupArn": ids[each["TargetGroupArn"]["Ref"]], "Weight": blue if each["Weight"] else green}
                for each in rules[name]["Actions"][0]["ForwardConfig"]["TargetGroups"]
            ]
            action = {**actions[0], "ForwardConfig": {**actions[0]["ForwardConfig"], "TargetGroups": groups}}
            elbv2.modify_rule(RuleArn=ids[name], Actions=[action])
        return problems(production, wanted)

    try:
        refused = divided(0, 100)
        assert [each for each in refused if "is updated (Conditions)" not in each] == []
        assert len(refused) == len(rules)
        assert divided(100, 0) == []
    finally:
        for name, actions in live.items():
            elbv2.modify_rule(RuleArn=ids[name], Actions=actions)


def test_storage_that_has_grown_by_itself_is_not_asked_for_less(wanted: Templates, production: Account) -> None:
    name, database = _of_type(wanted["daadaar-production-data"], "AWS::RDS::DBInstance")
    identifier, rds = production.resource("Data", "AWS::RDS::DBInstance"), production.client("rds")
    declared = int(database["Properties"]["AllocatedStorage"])
    database["Properties"]["AllocatedStorage"] = str(declared + 50)
    assert problems(production, wanted) == []
    rds.modify_db_instance(DBInstanceIdentifier=identifier, AllocatedStorage=declared + 60, ApplyImmediately=True)
    try:
        (found,) = problems(production, wanted)
        assert found == f"daadaar-production-data: {name} grows from {declared} to {declared + 50} GiB"
    finally:
        rds.modify_db_instance(DBInstanceIdentifier=identifier, AllocatedStorage=declared, ApplyImmediately=True)


def test_a_product_under_another_name_is_noticed(wanted: Templates, production: Account) -> None:
    renamed = production.environment.model_copy(update={"product": "fruits"})
    theirs = {name.replace("daadaar-", "fruits-"): each for name, each in wanted.items()}
    (found,) = deployed.examine("production", renamed, production, theirs)
    assert "is new and named" in found.what
    assert "'daadaar'" in found.fix


def test_a_site_that_moves_to_amplify_is_looked_at_where_it_still_runs(wanted: Templates, production: Account) -> None:
    """Its stack on ECS still runs under the same name."""
    amplify = Amplify(repository="daadaar/frontend", branch="main", access_token_secret="daadaar/github-token")
    sites = {"frontend": production.environment.services["frontend"].model_copy(update={"amplify": amplify})}
    moves = production.environment.model_copy(update={"services": {**production.environment.services, **sites}})
    assert list(deployed.examine("production", moves, production, wanted)) == []


def test_an_environment_without_a_file_is_reported_as_long_as_it_is_billed(
    wanted: Templates, production: Account
) -> None:
    cloudformation = production.client("cloudformation")
    body = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {}}}})
    made = ("daadaar-demo-network", "daadaar"), ("fruits-demo-network", "fruits"), ("daadaar-dev-network", "daadaar")
    try:
        for stack, product in made:
            tags = [{"Key": "product", "Value": product}, {"Key": "environment", "Value": stack.split("-")[1]}]
            cloudformation.create_stack(StackName=stack, TemplateBody=body, Tags=tags)
        text = "demo has no file, but its stacks still exist: 1"
        assert problems(production, wanted) == [f"daadaar-demo-network: {text}"]
    finally:
        for stack, _ in made:
            cloudformation.delete_stack(StackName=stack)


def test_an_alarm_that_is_on_would_gate_nothing(wanted: Templates, production: Account) -> None:
    cloudwatch = production.client("cloudwatch")
    name = production.service("Frontend")["deploymentConfiguration"]["alarms"]["alarmNames"][0]
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="errors")
    try:
        assert problems(production, wanted) == [f"daadaar-production-frontend: {name} fires"]
    finally:
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="over")


def test_a_release_is_not_cut_into(wanted: Templates, production: Account) -> None:
    from infra_runtime.release.ledger import Release

    ledger = ReleaseTarget("production", load(["production"])["production"], "api", production).ledger
    running = Release(
        service="api", id="r99999999-running", kind="release", image="new", previous="old", who="somebody",
        began="2026-11-23T00:00:00+00:00", template="t",
    )  # fmt: skip
    ledger.begin(running)
    try:
        (found,) = problems(production, wanted)
        assert "release r99999999-running by somebody is running" in found
    finally:
        key = {"service": {"S": "api"}, "id": {"S": running.id}}
        ledger.dynamodb.delete_item(TableName=ledger.table, Key=key)


def test_an_address_that_no_alarm_reaches_is_reported(wanted: Templates, production: Account) -> None:
    """SNS deletes an unconfirmed subscription after 48 hours. CloudFormation does not notice."""
    sns = production.client("sns")

    def silent() -> dict[str, str]:
        found = list(recipients(production, wanted, PLATFORM))
        assert not any(each.stops for each in found)
        return {each.where: f"{each.what} → {each.fix}" for each in found}

    def confirm() -> None:
        for each in read(production.emulator.deliveries):
            if each.subject.endswith("Subscription Confirmation"):
                with suppress(ClientError):
                    token = parse_qs(urlsplit(each.text).query)["Token"][0]
                    sns.confirm_subscription(TopicArn=each.topic, Token=token)

    mail = "critical alarms, oncall@daadaar.com"
    found = silent()
    assert mail not in found or "has not confirmed" in found[mail]
    confirm()
    assert silent() == {}
    (topic,) = (each for each in production.resources("Platform", "AWS::SNS::Topic") if "Critical" in each)
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    (subscription,) = (each["SubscriptionArn"] for each in listed if each["Protocol"] == "email")
    sns.unsubscribe(SubscriptionArn=subscription)
    ((where, said),) = silent().items()
    assert (where, said.partition(" →")[0]) == (mail, "is not subscribed")
    again = re.search(r"aws sns subscribe --topic-arn (\S+) --protocol email --notification-endpoint (\S+)", said)
    assert again is not None
    sns.subscribe(TopicArn=again[1], Protocol="email", Endpoint=again[2])
    assert silent() == {}
