"""Who reads which secret: the function that releases an image, and one that restarts each service that reads one."""

import json
import shutil
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

import app
from infra_runtime.contract.metrics import SecretMetric
from tests.conftest import _templates as templates_in

APP, MAIL, CRM = "daadaar/app", "daadaar/mail", "daadaar/crm"
FILE_CHANGES = {
    "[services.api.variables]": f"""[services.api.secrets]
JWT_SECRET = "{APP}:jwt"
JWT_ISSUER = "{APP}:issuer"

[services.mailer]
runs = "api"
command = ["node", "mailer.mjs"]
min_tasks = 1
max_tasks = 1

[services.mailer.secrets]
MAIL_KEY = "{MAIL}"

[jobs.clean]
runs = "mailer"
schedule = "rate(1 day)"
command = ["node", "clean.mjs"]

[services.api.variables]""",
    "[services.frontend.variables]": f"""[services.frontend.secrets]
CRM_KEY = "{CRM}"

[services.frontend.variables]""",
}
NAMED = "arn:aws:secretsmanager:eu-central-1:444455556666:secret:{}-??????"


@pytest.fixture(scope="module")
def own(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Resources of dev, with secrets for both services, and a worker and a job of the API's image."""
    from config import ENVIRONMENTS, load

    output = tmp_path_factory.mktemp("secrets")
    file = Path(shutil.copytree(ENVIRONMENTS, output / "environments")) / "dev.toml"
    text = file.read_text()
    for old, new in FILE_CHANGES.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    root = cdk.App(context=context, outdir=str(output / "cdk.out"))
    app.build(root, load(["dev"], directory=file.parent))
    root.synth()
    return {stack: template["Resources"] for stack, template in templates_in(output / "cdk.out").items()}


def functions(resources: dict[str, Any], module: str) -> dict[str, dict[str, str]]:
    """Variables of these functions, by service."""
    found = [
        each["Properties"]["Environment"]["Variables"]
        for each in resources.values()
        if each["Type"] == "AWS::Lambda::Function"
        and each["Properties"]["Handler"] == f"infra_runtime.{module}.handler"
    ]
    return {each["SERVICE"]: each for each in found}


def described(resources: dict[str, Any], handler: str) -> list[str]:
    """ARNs that the function may describe; no other permission has anything to do with secrets."""
    statements = [
        statement
        for name, each in resources.items()
        if each["Type"] == "AWS::IAM::Policy" and name.startswith(handler)
        for statement in each["Properties"]["PolicyDocument"]["Statement"]
        if "secretsmanager:" in json.dumps(statement["Action"])
    ]
    assert [each["Action"] for each in statements] == ["secretsmanager:DescribeSecret"]
    found = statements[0]["Resource"]
    return [each if isinstance(each, str) else json.dumps(each) for each in (found if type(found) is list else [found])]


def test_a_release_checks_every_secret_that_tasks_of_its_image_read(own: dict[str, dict[str, Any]]) -> None:
    controls = functions(own["dev/Delivery"], "release.control")
    assert {name: json.loads(each["SECRETS"]) for name, each in controls.items()} == {
        "api": [APP, MAIL],
        "frontend": [CRM],
    }
    assert described(own["dev/Delivery"], "ApiReleasesHandler") == [NAMED.format(APP), NAMED.format(MAIL)]
    assert described(own["dev/Delivery"], "FrontendReleasesHandler") == [NAMED.format(CRM)]


def test_a_preview_checks_every_secret_that_its_services_read(own: dict[str, dict[str, Any]]) -> None:
    """Preview slots run no workers."""
    (control,) = [
        each["Properties"]["Environment"]["Variables"]
        for each in own["dev/Delivery"].values()
        if each["Type"] == "AWS::Lambda::Function"
        and each["Properties"]["Handler"] == "infra_runtime.previews.control.handler"
    ]
    assert json.loads(control["SECRETS"]) == [APP, CRM]
    assert described(own["dev/Delivery"], "PreviewsHandler") == [NAMED.format(APP), NAMED.format(CRM)]


def test_each_service_is_restarted_for_its_own_secrets(own: dict[str, dict[str, Any]]) -> None:
    api, mailer = (functions(own["dev/Api"], "restart_service")[name] for name in ("api", "mailer"))
    app_, login, redis = sorted(described(own["dev/Api"], "RestartOnSecretChangeHandler"))
    assert "DatabaseLoginsUser" in login
    assert "InstancesmainUrl" in redis
    assert app_ == NAMED.format(APP)
    text = json.dumps(api["SECRETS"])
    assert "DatabaseLoginsUser" in text
    assert "InstancesmainUrl" in text
    assert text.count(APP) == 1, "two variables, one secret"
    assert MAIL not in text
    # It runs the API's image with the API's secrets and its own; neither database nor Redis is among its needs.
    assert json.loads(mailer["SECRETS"]) == [APP, MAIL]
    frontend = functions(own["dev/Frontend"], "restart_service")
    assert {name: json.loads(each["SECRETS"]) for name, each in frontend.items()} == {"frontend": [CRM]}


def test_each_alarm_is_about_one_service(own: dict[str, dict[str, Any]]) -> None:
    found = [
        {each["Name"]: each["Value"] for each in alarm["Properties"]["Dimensions"]}["Service"]
        for stack in ("dev/Api", "dev/Frontend")
        for alarm in own[stack].values()
        if alarm["Type"] == "AWS::CloudWatch::Alarm"
        and alarm["Properties"].get("MetricName") == SecretMetric.TASKS_BEHIND.value
    ]
    assert sorted(found) == ["api", "frontend", "mailer"]
