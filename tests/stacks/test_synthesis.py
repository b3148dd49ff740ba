"""`cdk synth` and `cdk diff` as an engineer runs them: no credentials, no network, and strict."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def test_a_difference_is_shown_without_an_account(assembly: Path, tmp_path: Path) -> None:
    """`cdk diff` against a template that somebody has kept, as the README says."""
    (current,) = assembly.glob("assembly-production/productionData*.template.json")
    old = tmp_path / "old.json"
    old.write_text(current.read_text().replace('"AllocatedStorage":"100"', '"AllocatedStorage":"50"'))
    done = subprocess.run(
        [ROOT / "node_modules" / ".bin" / "cdk", "diff", "production/Data", "--exclusively", "--no-color",
         "--no-notices", "--app", assembly, "--template", old],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"\[-] 50\s+└─ \[\+] 100", done.stdout + done.stderr)


def test_templates_are_written_without_indentation(assembly: Path) -> None:
    """A third of their size, which CloudFormation counts (templates_stay_below_the_size_limit)."""
    found = list(assembly.glob("assembly-*/*.template.json"))
    assert found
    for each in found:
        text = each.read_text()
        assert text == json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")), each.name


def test_a_synthesis_leaves_no_temporary_files(validated: Path) -> None:
    assert list((validated.parent / "temporary").iterdir()) == []


def test_a_template_that_breaks_a_rule_of_aws_fails(context: dict[str, Any], tmp_path: Path) -> None:
    """The positive control: one bad number in two stacks of this application ends with 1 and names the place."""
    program = tmp_path / "bad.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import app, aws_cdk as cdk\n"
        "def build(root, environments):\n"
        "    stage, dev = cdk.Stage(root, 'dev'), environments['dev']\n"
        "    network = app.NetworkStack(stage, 'Network', environment=dev)\n"
        "    data = app.DataStack(stage, 'Data', environment=dev, network=network.exports)\n"
        "    data.node.find_child('Database').instance.node.default_child.backup_retention_period = 99\n"
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
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "dev/Data/Database/Instance" in said
    # Our own policies see it, too, and name resource and property.
    assert re.search(
        r"ERROR BackupRetentionPeriod is 99, must be 1\..*\(Policies\)\n +dev/Data/Database/Instance", said
    ), said
