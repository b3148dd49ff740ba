"""`cdk synth` as an engineer runs it: no credentials, no network, the same bytes each time, and strict."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

ROOT = Path(__file__).resolve().parents[2]
CDK = ROOT / "node_modules" / ".bin" / "cdk"


def synth(output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Validated, with nothing of AWS in the environment and nobody to ask: a proxy that is not there."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    clean.pop("CDK_VALIDATION")
    clean.pop("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION")
    nowhere = "http://127.0.0.1:9"
    return subprocess.run(
        [CDK, "synth", "--quiet", "--no-notices", "-o", output, *arguments],
        cwd=ROOT,
        env={**clean, "HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere, "AWS_EC2_METADATA_DISABLED": "true",
             "HOME": str(output.parent), "XDG_CACHE_HOME": str(Path.home() / ".cache")},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every environment, strictly validated: CDK's rules as errors, and cdk-nag."""
    output = tmp_path_factory.mktemp("whole") / "cdk.out"
    done = synth(output)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "end-of-life" not in done.stderr, "eleven lines of banner"
    return output


def test_all_environments_pass_strict_validation(whole: Path) -> None:
    report = json.loads((whole / "validation-report.json").read_text())
    assert {plugin["pluginName"]: plugin["conclusion"] for plugin in report["pluginReports"]}[
        "AwsSolutions"
    ] == "success"
    assert len(list(whole.glob("assembly-*/*.template.json"))) == 24


def test_two_syntheses_are_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    """Also when the second is of one environment only."""
    again = tmp_path / "cdk.out"
    assert synth(again, "-c", "env=staging").returncode == 0
    first, second = files(whole / "assembly-staging"), files(again / "assembly-staging")
    assert len(first) > 16
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert not (again / "assembly-production").exists()


def test_the_assembly_holds_no_dummy_no_lookup_and_no_secret(whole: Path) -> None:
    text = b"\n".join(files(whole).values()).decode(errors="replace")
    assert "eu-central-1a" in text  # the positive control
    assert not re.search(r"dummy1[abc]|DUMMY", text)
    assert '"missing"' not in json.loads((whole / "manifest.json").read_text()).__repr__()
    assert not re.search(r"AKIA[0-9A-Z]{16}|-----BEGIN|ghp_\w{20}|rediss?://[^\s\"{]*:[^{@\s\"]+@", text)


def test_a_template_that_breaks_a_rule_of_aws_fails(whole: Path, tmp_path: Path) -> None:
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
    done = synth(tmp_path / "cdk.out", "-c", "env=dev", "--app", f"{ROOT}/.venv/bin/python {program}")
    assert done.returncode == 1
    assert "dev/Data/Database/Instance" in done.stdout + done.stderr


def test_acknowledgements_are_all_still_needed(context: dict[str, Any], tmp_path: Path) -> None:
    """Without them, each of the findings they name is reported, at their very place; or they are stale."""
    import app
    from config import load
    from infra_constructs import findings

    root = cdk.App(context=context, outdir=str(tmp_path / "out"))
    own = cdk.Validations.acknowledge
    try:
        cdk.Validations.acknowledge = lambda self, *acknowledgments: None  # type: ignore[method-assign]
        stages = app.build(root, load())
    finally:
        cdk.Validations.acknowledge = own  # type: ignore[method-assign]
    findings.gate(root)
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        root.synth()
    reported = {tuple(line.split(": ")[:2]) for line in findings.unacknowledged(Path(root.outdir))}
    kept = [each for stage in stages.values() for each in findings.acknowledged(stage)]
    assert len(kept) > 20
    stale = [each for each in kept if (each.path, each.finding) not in reported]
    assert stale == []
