"""The files in environments/: valid, found by editors and workflows, and accepted by AWS's own rules."""

import json
import re
from pathlib import Path

import pytest

from config import Environment, available, load
from config.deploy_workflow import WORKFLOW, workflow
from config.loader import OWN
from config.schema import SCHEMA
from rehearsal.lint import Lint


def test_they_are_valid() -> None:
    assert load(directory=OWN).keys() == set(available(OWN))


@pytest.mark.parametrize("name", available(OWN))
def test_editors_find_the_schema(name: str) -> None:
    assert (OWN / f"{name}.toml").read_text().startswith(f"#:schema ./{SCHEMA.name}\n")


def test_the_workflows_find_each_environment_at_github_under_its_files_name(loaded: dict[str, Environment]) -> None:
    for name, environment in loaded.items():
        error = f"environments/{name}.toml: delivery.environment has to be {name!r}, as in deploy.yml and drift.yml"
        assert environment.delivery.environment == name, error


def test_each_is_deployed_by_the_workflow(loaded: dict[str, Environment]) -> None:
    """If this fails, run `make accept`."""
    assert WORKFLOW.read_text() == workflow(loaded)


def test_they_pass_strict_validation(validated: Path) -> None:
    report = json.loads((validated / "validation-report.json").read_text())
    conclusions = {plugin["pluginName"]: plugin["conclusion"] for plugin in report["pluginReports"]}
    assert conclusions["AwsSolutions"] == "success"


def test_the_linter_has_nothing_to_say(validated: Path, loaded: dict[str, Environment]) -> None:
    for region in {each.aws.region for each in loaded.values()}:
        Lint(validated, region=region).result()


def test_the_assembly_holds_no_dummy_no_lookup_and_no_secret(validated: Path, loaded: dict[str, Environment]) -> None:
    ours = [path for path in validated.rglob("*") if path.is_file() and path.suffix != ".zip"]
    text = "\n".join(path.read_text(errors="replace") for path in ours)
    assert all(each.network.availability_zones[0] in text for each in loaded.values())  # the positive control
    assert not re.search(r"dummy1[abc]|DUMMY", text)
    # Values that CDK would have to look up in AWS.
    assert [path for path in validated.rglob("manifest.json") if json.loads(path.read_text()).get("missing")] == []
    assert not re.search(
        r"AKIA[0-9A-Z]{16}|-----BEGIN (?!CERTIFICATE)|ghp_\w{20}|rediss?://[^\s\"{]*:[^{@\s\"]+@", text
    )


def test_acknowledgements_are_all_still_needed(validated: Path) -> None:
    """Each acknowledgement matches a finding of this synthesis at its place; others are stale."""
    (used,) = [
        {(each["acknowledgedAt"], each["acknowledgedId"]) for each in plugin["suppressedViolations"]}
        for plugin in json.loads((validated / "validation-report.json").read_text())["pluginReports"]
        if plugin["pluginName"] == "AwsSolutions"
    ]
    kept = {
        (path.removeprefix("/"), finding)
        for metadata in validated.glob("assembly-*/*.metadata.json")
        for path, entries in json.loads(metadata.read_text()).items()
        for entry in entries
        if entry["type"] == "aws:cdk:acknowledged-rules"
        for finding in entry["data"]
        if finding.startswith("AwsSolutions::")
    }
    assert len(kept) > 20
    assert kept - used == set()
