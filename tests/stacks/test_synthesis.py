"""`cdk synth` as an engineer runs it: no credentials, no network, the same bytes each time, and strict."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from rehearsal.lint import Lint

ROOT = Path(__file__).resolve().parents[2]


def test_all_environments_pass_strict_validation(validated: Path) -> None:
    report = json.loads((validated / "validation-report.json").read_text())
    assert {plugin["pluginName"]: plugin["conclusion"] for plugin in report["pluginReports"]}[
        "AwsSolutions"
    ] == "success"
    assert len(list(validated.glob("assembly-*/*.template.json"))) == 32


def test_the_linter_has_nothing_to_say_of_any_environment(validated: Path) -> None:
    Lint(validated, region="eu-central-1").result()


def test_the_assembly_holds_no_dummy_no_lookup_and_no_secret(validated: Path) -> None:
    ours = [path for path in validated.rglob("*") if path.is_file() and path.suffix != ".zip"]
    read = [path.read_text(errors="replace") for path in ours]
    text = "\n".join(read)
    assert "eu-central-1a" in text  # the positive control
    assert not re.search(r"dummy1[abc]|DUMMY", text)
    # What CDK would have to ask AWS for.
    assert [path for path in validated.rglob("manifest.json") if json.loads(path.read_text()).get("missing")] == []
    assert not re.search(
        r"AKIA[0-9A-Z]{16}|-----BEGIN (?!CERTIFICATE)|ghp_\w{20}|rediss?://[^\s\"{]*:[^{@\s\"]+@", text
    )


def test_a_difference_is_shown_without_an_account(validated: Path, tmp_path: Path) -> None:
    """`cdk diff` against a template that somebody has kept, as the README says."""
    (current,) = validated.glob("assembly-production/productionData*.template.json")
    old = tmp_path / "old.json"
    old.write_text(current.read_text().replace('"AllocatedStorage": "100"', '"AllocatedStorage": "50"'))
    done = subprocess.run(
        [ROOT / "node_modules" / ".bin" / "cdk", "diff", "production/Data", "--exclusively", "--no-color",
         "--no-notices", "--app", validated, "--template", old],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"\[-] 50\s+└─ \[\+] 100", done.stdout + done.stderr)


def test_a_template_that_breaks_a_rule_of_aws_fails(context: dict[str, Any], tmp_path: Path) -> None:
    """The positive control: one bad number, in what is otherwise this application, ends with 1 and names the place."""
    program = tmp_path / "bad.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import app, aws_cdk as cdk\n"
        "from aws_cdk import aws_rds as rds\n"
        "own = app.build\n"
        "def build(root, environments):\n"
        "    stages = own(root, environments)\n"
        "    data = stages['dev'].node.find_child('Data')\n"
        "    data.node.find_child('Database').instance.node.default_child.backup_retention_period = 99\n"
        "    return stages\n"
        "app.build = build\n"
        "code = app.main(); sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-O", program],
        cwd=ROOT,
        env={
            **{key: value for key, value in os.environ.items() if key != "CDK_VALIDATION"},
            "CDK_CONTEXT_JSON": json.dumps({**context, "env": "dev"}),
            "CDK_OUTDIR": str(tmp_path / "cdk.out"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "dev/Data/Database/Instance" in done.stdout + done.stderr


def test_acknowledgements_are_all_still_needed(validated: Path) -> None:
    """Each has kept a finding from failing this synthesis, at its very place; or it is stale."""
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
