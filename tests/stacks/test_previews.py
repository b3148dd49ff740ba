"""What a pull request's code gets, and what it does not."""

import json
from typing import Any

import pytest

from config import load
from config.previews import hosts, slots
from ops.previews.commands import build_arguments

Templates = dict[str, dict[str, Any]]
DEV = load(["dev"])["dev"]


def containers(templates: Templates, slot: int) -> dict[str, dict[str, Any]]:
    """A slot's containers, by the service's name and the container's."""
    return {
        f"{'api' if logical_id.startswith('Api') else 'frontend'}/{container['Name']}": container
        for logical_id, each in templates[f"dev/Preview{slot}"]["Resources"].items()
        if each["Type"] == "AWS::ECS::TaskDefinition"
        for container in each["Properties"]["ContainerDefinitions"]
        if container["Name"] != "prepare"
    }


def variables(container: dict[str, Any]) -> dict[str, Any]:
    return {each["Name"]: each["Value"] for each in container["Environment"]}


@pytest.mark.parametrize("slot", slots(DEV))
def test_a_slot_has_a_database_and_keys_of_its_own(slot: int, templates: Templates) -> None:
    found = containers(templates, slot)
    assert set(found) == {"api/app", "api/migrate", "frontend/app"}
    api, migrate = variables(found["api/app"]), variables(found["api/migrate"])
    assert api["PGDATABASE"] == migrate["PGDATABASE"] == f"preview_{slot}"
    assert (api["PGUSER"], migrate["PGUSER"]) == (f"preview_{slot}_user", f"preview_{slot}_owner")
    assert api["REDIS_KEY_PREFIX"] == {"Fn::Join": ["", ["preview-", {"Ref": "Lease"}, ":"]]}
    for name in ("api/app", "api/migrate"):
        secrets = {each["Name"]: json.dumps(each["ValueFrom"]) for each in found[name]["Secrets"]}
        assert f"PreviewDatabasesSlot{slot}" in secrets["PGPASSWORD"]
        assert "DatabaseLogins" not in json.dumps(found[name])
    where = hosts(DEV, slot)
    assert variables(found["frontend/app"])["NEXT_PUBLIC_API_URL"] == f"https://{where['api']}"
    assert api["SITE_URL"] == f"https://{where['frontend']}"


@pytest.mark.parametrize("slot", slots(DEV))
def test_a_site_is_built_with_the_variables_that_it_runs_with(slot: int, templates: Templates) -> None:
    arguments = build_arguments("dev", DEV, slot)
    assert arguments.keys() == {"frontend"}
    built = dict(each.split("=", 1) for each in arguments["frontend"])
    assert built.keys() == {"NEXT_PUBLIC_API_URL", "NEXT_PUBLIC_MEDIA_URL", "NEXT_PUBLIC_SITE_URL"}
    assert built.items() <= variables(containers(templates, slot)["frontend/app"]).items()


@pytest.mark.parametrize("slot", slots(DEV))
def test_nothing_runs_in_a_free_slot(slot: int, templates: Templates) -> None:
    template = templates[f"dev/Preview{slot}"]
    parameters = template["Parameters"]
    bootstrap = DEV.bootstrap_image
    assert {name: parameters[name]["Default"] for name in ("Count", "Lease", "ApiImage", "FrontendImage")} == {
        "Count": 0, "Lease": "none", "ApiImage": bootstrap, "FrontendImage": bootstrap,
    }  # fmt: skip
    services = [each["Properties"] for each in template["Resources"].values() if each["Type"] == "AWS::ECS::Service"]
    assert [each["DesiredCount"] for each in services] == [{"Ref": "Count"}] * 2
    images = {container["Image"]["Ref"] for container in containers(templates, slot).values()}
    assert images == {"ApiImage", "FrontendImage"}
    for kind in ("AWS::CloudWatch::Alarm", "AWS::ApplicationAutoScaling::ScalableTarget"):
        assert not [each for each in template["Resources"].values() if each["Type"] == kind], "no alarm may page"


def test_each_name_is_in_dns_and_in_the_certificate(templates: Templates) -> None:
    wanted = {host for slot in slots(DEV) for host in hosts(DEV, slot).values()}
    assert wanted == {
        "api-dev-preview-1.daadaar.com", "dev-preview-1.daadaar.com",
        "api-dev-preview-2.daadaar.com", "dev-preview-2.daadaar.com",
    }  # fmt: skip
    for stack in ("dev/Platform", "dev/Edge"):
        text = json.dumps(templates[stack])
        assert [host for host in sorted(wanted) if host not in text] == [], stack


def test_their_names_have_the_protection_of_the_others(templates: Templates) -> None:
    """Programs also call a previewed API, and cannot pass a bot challenge."""
    text = json.dumps(templates["dev/Edge"]).replace("\\", "")
    apis = [str(DEV.services["api"].host), *(hosts(DEV, slot)["api"] for slot in slots(DEV))]
    names = " ".join(f'"{each}"' for each in [*apis, DEV.domains.media])
    assert f"(http.host in {{{names}}})" in text
    scanners = text[text.index("Paths that only scanners") :]
    for slot in slots(DEV):
        assert [host for host in hosts(DEV, slot).values() if f'"{host}"' not in scanners] == []


def test_where_data_is_kept_there_are_no_previews(templates: Templates) -> None:
    assert "dev/Preview1" in templates
    assert [name for name in templates if "/Preview" in name and not name.startswith("dev/")] == []
    assert "preview" not in json.dumps(templates["production/Data"]).lower()


def test_the_control_changes_slots_and_no_template(templates: Templates) -> None:
    (policy,) = [
        each["Properties"]["PolicyDocument"]["Statement"]
        for logical_id, each in templates["dev/Delivery"]["Resources"].items()
        if each["Type"] == "AWS::IAM::Policy" and logical_id.startswith("PreviewsHandlerRole")
    ]
    (update,) = [each for each in policy if "cloudformation:UpdateStack" in each["Action"]]
    assert {each.rsplit("stack/", 1)[1] for each in update["Resource"]} == {
        "daadaar-dev-preview1/*", "daadaar-dev-preview2/*",
    }  # fmt: skip
    actions = {
        action
        for each in policy
        for action in ([each["Action"]] if isinstance(each["Action"], str) else each["Action"])
    }
    assert not {"secretsmanager:GetSecretValue", "iam:PassRole", "ssm:PutParameter", "ecs:UpdateService"} & actions
