"""`infra doctor` in an account that has nothing yet: it says what is missing, `--fix` does what is safe."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from config import load
from ops import __main__ as infra
from ops import doctor, progress
from ops.console import Console
from ops.doctor.account import cost_explorer, free_plan
from ops.doctor.finding import Finding
from ops.doctor.not_created import not_created
from ops.doctor.quotas import needs
from ops.doctor.secrets import required, secrets
from ops.doctor.slack import slack
from ops.doctor.zone import zone
from ops.stacks import Stack, every_stack
from rehearsal.account import Account, opened
from tests.ops.every_command import ARGUMENTS, BEFORE_A_DEPLOYMENT, conforms, with_json
from tests.simulators.aws.test_conditions import created

Templates = dict[str, dict[str, Any]]
NAMES = ("dev", "production")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=NAMES)
def account(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    name = request.param
    with opened(name, load([name])[name], tmp_path) as found:
        monkeypatch.setenv("CLOUDFLARE_BASE_URL", found.cloudflare_url)
        monkeypatch.setenv("GITHUB_API_URL", found.github_url)
        yield found


@pytest.fixture
def examined(account: Account, templates: Templates) -> Callable[[], list[Finding]]:
    own = {
        f"daadaar-{key.lower().replace('/', '-')}": each
        for key, each in templates.items()
        if key.startswith(f"{account.name}/")
    }
    return lambda: list(doctor.examine(account.name, account.environment, account, own))


@pytest.fixture
def findings(examined: Callable[[], list[Finding]]) -> Callable[[], list[str]]:
    return lambda: [f"{each.where}: {each.what}" for each in examined()]


def starting(found: list[str], begin: str) -> list[str]:
    return [each for each in found if each.startswith(begin)]


def test_doctor_reports_everything_that_a_new_account_lacks(
    account: Account, findings: Callable[[], list[str]]
) -> None:
    found = findings()
    of_account = starting(found, f"account {account.environment.aws.account}")
    assert any("no stack CDKToolkit" in each for each in of_account)
    assert len([each for each in of_account if "service-linked role" in each]) == 5
    assert any("Cost Explorer is off" in each for each in of_account)
    assert any("is on the free plan" in each for each in of_account)
    assert starting(found, "secret daadaar/cloudflare-token: has no value")
    assert starting(found, "zone daadaar.com: was not checked: there is no token")
    assert starting(found, "quota lambda L-B99A9384: Concurrent executions is 10")
    if account.name == "production":
        (quota,) = starting(found, "quota fargate L-3032A538: Fargate On-Demand vCPU resource count is 6")
        assert "66.5 may be needed" in quota
        assert starting(found, "secret daadaar/pagerduty-key: has no value")
        assert any("Slack workspace T0123ABCDEF is not authorized (authorized: none)" in each for each in of_account)
    else:
        assert any("OIDC provider does not exist" in each for each in of_account)


def test_fix_does_only_what_is_safe(examined: Callable[[], list[Finding]], findings: Callable[[], list[str]]) -> None:
    doctor.repair(examined(), Console(quiet=True))
    found = findings()
    assert not [each for each in found if "service-linked role" in each]
    assert all("are requested" in each for each in starting(found, "quota ")), "AWS has not granted them yet"
    assert starting(found, "secret daadaar/cloudflare-token"), "--fix cannot create a token"
    time.sleep(1.1)
    assert not starting(findings(), "quota ")


@pytest.mark.parametrize("account", ["dev"], indirect=True)
def test_a_repository_from_after_july_is_reported_with_the_line_to_write(
    account: Account, findings: Callable[[], list[str]]
) -> None:
    assert not starting(findings(), "GitHub")
    account.github.repositories["daadaar/backend"].subject = "daadaar@70001/backend@9000002"
    text = "GitHub, services.api.repository: is daadaar/backend; GitHub's tokens name daadaar@70001/backend@9000002"
    assert starting(findings(), "GitHub") == [text]


@pytest.mark.parametrize("account", ["production"], indirect=True)
def test_secrets_of_the_wrong_form_are_reported_without_their_value(
    account: Account, findings: Callable[[], list[str]]
) -> None:
    manager = account.client("secretsmanager")
    for each in required(account.environment):
        manager.create_secret(Name=each.name, SecretString="hunter2 and a space")
    found = starting(findings(), "secret ")
    assert len(found) == len(list(required(account.environment)))
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize("account", ["dev"], indirect=True)
def test_a_zone_that_acm_cannot_use_is_reported(account: Account, findings: Callable[[], list[str]]) -> None:
    account.prepare()
    assert not starting(findings(), "zone ")
    assert not [each for each in findings() if "Cost Explorer" in each or "plan" in each]
    account.zone.records["caa"] = {
        "id": "caa", "type": "CAA", "name": "daadaar.com", "content": '0 issue "letsencrypt.org"', "proxied": False,
        "ttl": 1, "data": {"flags": 0, "tag": "issue", "value": "letsencrypt.org"},
    }  # fmt: skip
    (output,) = starting(findings(), "zone ")
    assert "the CAA records let only letsencrypt.org issue certificates" in output


@pytest.mark.parametrize("account", ["dev"], indirect=True)
def test_credentials_that_cannot_read_secrets_get_a_list_of_unchecked_items_and_no_failure(
    account: Account, templates: Templates
) -> None:
    """The pipeline's credentials, for example."""
    account.prepare()
    iam = account.client("iam")
    iam.create_user(UserName="pipeline")
    iam.attach_user_policy(UserName="pipeline", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    deny = {"Effect": "Deny", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    iam.put_user_policy(UserName="pipeline", PolicyName="deny", PolicyDocument=json.dumps({"Statement": [deny]}))
    key = iam.create_access_key(UserName="pipeline")["AccessKey"]
    pipeline = replace(account, cdk=replace(account.cdk, access_key=(key["AccessKeyId"], key["SecretAccessKey"])))
    found = list(secrets(account.environment, pipeline))
    found += zone(account.environment, templates, pipeline)
    assert [(each.where, each.stops) for each in found] == [
        ("secret daadaar/cloudflare-token", False),
        ("zone daadaar.com", False),
    ]
    assert all("was not checked" in each.what for each in found)


class Denying:
    """An account in which these credentials may not read anything."""

    def client(self, _: str, /, region_name: str | None = None) -> Any:
        return self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_: Any, **__: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no policy allows it"}}, name)

        return call


def test_denied_checks_of_the_account_stop_nothing() -> None:
    production = load(["production"])["production"]
    found = [
        *free_plan(production, Denying()),
        *cost_explorer(production, Denying()),
        *slack("production", production, Denying()),
    ]
    unread = "was not checked: these credentials may not read it"
    assert [(each.what, each.stops) for each in found] == [
        (f"its plan {unread}", False),
        (f"Cost Explorer {unread}", False),
        (f"Slack {unread}", False),
    ]


@pytest.mark.parametrize("account", ["production"], indirect=True)
def test_a_channel_needs_its_workspace_and_has_one_configuration(account: Account) -> None:
    def found() -> list[tuple[str, bool]]:
        return [(each.what, each.stops) for each in slack(account.name, account.environment, account)]

    def configured(name: str, channel: str, workspace: str) -> str:
        properties = {
            "ConfigurationName": name,
            "IamRoleArn": "arn:aws:iam::111122223333:role/q",
            "SlackChannelId": channel,
            "SlackWorkspaceId": workspace,
        }
        kind = "AWS::Chatbot::SlackChannelConfiguration"
        return created(account.client, name, {"Channel": {"Type": kind, "Properties": properties}})

    mine, channel = "T0123ABCDEF", "C0123ABCDEF"
    assert "Slack workspace T0123ABCDEF is not authorized with AWS account" in configured("early", channel, mine)
    (account.emulator.console / "slack-T0000OTHERS").touch()
    assert found() == [(f"Slack workspace {mine} is not authorized (authorized: T0000OTHERS)", True)]
    (account.emulator.console / f"slack-{mine}").touch()
    assert found() == []
    assert "ConflictException" in configured("early", channel, mine), "the refused one has left its name"
    assert configured("by-hand", channel, mine) == ""
    assert found() == [(f"Slack channel {channel} has the configuration by-hand", True)]
    account.client("cloudformation").delete_stack(StackName="by-hand")
    for each in (channel, "C0456ABCDEF"):
        assert configured(f"daadaar-production-platform-{each}", each, mine) == ""
    assert found() == []
    (account.emulator.console / f"slack-{mine}").unlink()
    ((_, stops),) = found()
    assert not stops, "no deployment creates a channel"


@pytest.mark.parametrize("account", ["dev"], indirect=True)
def test_the_command_ends_with_3_and_says_for_each_finding_what_to_do(account: Account) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    addresses = {"AWS_ENDPOINT_URL": account.cdk.endpoint or "", **account.cdk.credentials}

    def doctor_says(*options: str) -> list[dict[str, Any]]:
        command = [str(ROOT / "infra"), "doctor", "dev", "--json", *options]
        done = subprocess.run(command, env={**clean, **addresses}, capture_output=True, text=True, check=False)
        assert done.returncode == 3, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    before = doctor_says()
    assert all(each["where"] and each["what"] and each["why"] and each["fix"] for each in before)
    assert any(each["is_fixable"] for each in before)
    assert not any(each["is_fixable"] for each in doctor_says("--fix"))


@pytest.mark.parametrize("account", ["dev"], indirect=True)
def test_a_stack_that_could_not_be_created_can_be_created_again(
    account: Account, examined: Callable[[], list[Finding]]
) -> None:
    """CDK protects a stack before it creates it, and deletes a failed one before it creates it again."""
    cloudformation = account.client("cloudformation")
    account.client("freetier").upgrade_account_plan(accountPlanType="PAID")
    names = [f"daadaar-dev-{each}" for each in ("network", "platform")]
    for name, resources in zip(names, (_REFUSED, _PROTECTED), strict=True):
        _fails(cloudformation, name, resources)

    def told() -> list[Finding]:
        return sorted((each for each in examined() if each.where in names), key=lambda each: each.where)

    assert [(each.where, each.what) for each in told()] == [
        (names[0], "is ROLLBACK_COMPLETE, and protected from deletion"),
        (names[1], "is ROLLBACK_FAILED, and protected from deletion"),
        (names[1], "Balancer is protected from deletion"),
    ]
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        cloudformation.delete_stack(StackName=names[0])
    doctor.repair(told(), Console(quiet=True))
    (balancer,) = told()
    assert balancer.repair is None, "what may hold data is left to a person"
    assert "deletion_protection.enabled,Value=false" in balancer.fix
    assert list(not_created(Blind(account), _stack(account, names[1]))) == [balancer]
    account.client("elbv2").modify_load_balancer_attributes(
        LoadBalancerArn=balancer.fix.split("--load-balancer-arn ")[1].split()[0],
        Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}],
    )
    for name in names:
        cloudformation.delete_stack(StackName=name)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert told() == []


class Blind:
    """The pipeline's credentials: they may read CloudFormation, but no load balancer."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def client(self, service: str) -> Any:
        return self if service == "elbv2" else self.account.client(service)

    def describe_load_balancer_attributes(self, **_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeLoadBalancerAttributes")


def _stack(account: Account, name: str) -> Stack:
    (found,) = (each for each in every_stack(account) if each.name == name)
    return found


_KIND = "AWS::ElasticLoadBalancingV2::LoadBalancer"
_LOGS = {"access_logs.s3.enabled": "true", "access_logs.s3.bucket": "a-bucket-that-does-not-exist"}


def _balancer(**attributes: str) -> dict[str, Any]:
    found = [{"Key": key, "Value": value} for key, value in attributes.items()]
    return {"Type": _KIND, "Properties": {"LoadBalancerAttributes": found}}


_REFUSED = {"Refused": _balancer(**_LOGS)}
_PROTECTED = {
    "Balancer": _balancer(**{"deletion_protection.enabled": "true"}),
    "Refused": {**_REFUSED["Refused"], "DependsOn": "Balancer"},
}


def _fails(cloudformation: Any, name: str, resources: dict[str, Any]) -> None:
    cloudformation.create_stack(
        StackName=name, TemplateBody=json.dumps({"Resources": resources}), EnableTerminationProtection=True,
        Tags=[{"Key": "product", "Value": "daadaar"}, {"Key": "environment", "Value": "dev"}],
    )  # fmt: skip
    while cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"].endswith("PROGRESS"):
        time.sleep(0.05)


# Exit code, and text on standard output or error, if nothing is deployed.
BEFORE: dict[str, tuple[int, str]] = {
    "doctor": (3, "no stack CDKToolkit"),
    "drift": (1, "deploy it first: make deploy ENV=dev"),
    "edge plan": (1, "is the token in the secret daadaar/cloudflare-token?"),
    "secret list": (0, "missing"),
    "github": (1, "deploy it first: make deploy ENV=dev"),
    "verify": (1, "is the token in the secret daadaar/cloudflare-token?"),
    "effects": (0, "Nothing of dev is deployed"),
    "explain": (1, "deploy it first: make deploy ENV=dev"),
}


@pytest.mark.parametrize("account", ["dev"], indirect=True)
def test_before_the_first_deployment_every_command_ends_within_seconds(
    account: Account, templates: Templates, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {
        f"daadaar-{key.lower().replace('/', '-')}": each for key, each in templates.items() if key.startswith("dev/")
    }
    monkeypatch.setattr(doctor, "synthesized", lambda _: own)
    addresses = {"AWS_ENDPOINT_URL": account.cdk.endpoint or "", **account.cdk.credentials, "COLUMNS": "400"}
    for name, value in addresses.items():
        monkeypatch.setenv(name, value)
    assert BEFORE.keys() == BEFORE_A_DEPLOYMENT
    for command, (code, text) in BEFORE.items():
        for more in ([], ["--json"]) if command in with_json() else ([],):
            words = [*command.split(), "dev", *more, *ARGUMENTS[command]]
            monkeypatch.setattr(sys, "argv", ["infra", *words])
            monkeypatch.setattr(progress._Wanted, "by_this_process", False)  # main() turns it on
            began = time.monotonic()
            with pytest.raises(SystemExit) as end:
                infra.main()
            out, err = capsys.readouterr()
            assert (words, int(end.value.code or 0)) == (words, code), out + err
            assert time.monotonic() - began < 10, words
            if more and code != 1:
                assert conforms(command, out)
            elif more:
                assert (out, text in err) == ("", True)
            else:
                assert text in out + err, words


def test_a_release_at_rest_takes_what_the_files_say() -> None:
    production = load(["production"])["production"]
    (fargate,) = (each for each in needs(production) if each.service == "fargate")
    # Three tasks of each service at one vCPU, three more of one of them, and the migration.
    assert fargate.least == 3 + 3 + 3 + 0.5
    assert fargate.most == 24 + 18 + 24 + 0.5


def test_environments_of_one_account_share_its_quotas() -> None:
    loaded = load(["dev", "staging"])
    alone = {each.code: each.most for each in needs(loaded["staging"])}
    together = {each.code: each.most for each in needs(loaded["staging"], [loaded["dev"]])}
    assert together["L-36FBB829"] > alone.get("L-36FBB829", 0), "dev runs on Spot"


def test_a_nat_instance_needs_vcpus_that_some_new_accounts_do_not_have() -> None:
    loaded = load(["dev", "production"])
    (nat,) = (each for each in needs(loaded["dev"]) if each.code == "L-1216C47A")
    assert (nat.least, nat.request) == (2, 5)
    assert not [each for each in needs(loaded["production"]) if each.code == nat.code], "it has gateways"


@pytest.mark.parametrize(
    ("value", "is_right"),
    [
        ('{"routing_key": "abc"}', True),
        ("https://hooks.example.com/x\n", True),
        ("https://events.pagerduty.com/integration/abc/enqueue", False),
        ("http://hooks.example.com/x", False),
        ('{"key": "abc"}', False),
    ],
)
def test_a_webhook_is_a_key_of_pagerduty_or_the_url_of_another(value: str, is_right: bool) -> None:
    (critical,) = (each for each in required(load(["production"])["production"]) if "critical" in each.key)
    assert (critical.wrong(value) == "") == is_right
