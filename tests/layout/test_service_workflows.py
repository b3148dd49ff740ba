"""The workflows of the services, run: their scripts in a scratch repository, with real package managers.

What is GitHub's is made up here: expressions, the files that a step writes to, Docker and AWS.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.workflows import read

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = read(ROOT / ".github" / "workflows")
_INSTALLED = ROOT / "node_modules" / ".bin"
# npm is part of Node; the versions of the others are those in package.json.
MANAGERS = ["npm", *(each for each in ("pnpm", "bun") if (_INSTALLED / each).exists())]
LOCKFILES = {"npm": "package-lock.json", "pnpm": "pnpm-lock.yaml", "bun": "bun.lock"}

# A runner has no pnpm or Bun before this step; offline, the test uses the installed one.
NPM = f"""#!/bin/sh
if [ "$1 $2" = "install --global" ]; then
  echo "$3" >>"$LOG"
  ln -s "{_INSTALLED}/${{3%%@*}}" "$RUNNER/"
else
  exec {shutil.which("npm")} "$@"
fi
"""
TOOL = """#!/bin/sh
echo "$(basename "$0") $* in $(basename "$PWD")" >>"$LOG"
[ ! -e broken ]
"""
DOCKER = """#!/bin/sh
printf 'docker' >>"$LOG"
printf ' <%s>' "$@" >>"$LOG"
echo >>"$LOG"
[ "$1" != buildx ] || echo '{"containerimage.digest": "sha256:0"}' >metadata.json
"""
AWS = """#!/bin/sh
echo "aws $*" >>"$LOG"
"""


@dataclass
class Runner:
    """A GitHub runner, for one job."""

    workflow: str
    job: str
    folder: Path
    inputs: Mapping[str, Any] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    """Values of vars.NAME, matrix.NAME and other names in expressions."""

    def __post_init__(self) -> None:
        self.repository = self.folder / "repository"
        self.log, self._exported = self.folder / "log", self.folder / "exported"
        bin_ = self.folder / "bin"
        for folder in (self.repository, bin_):
            folder.mkdir(parents=True, exist_ok=True)
        for name, script in (("npm", NPM), ("docker", DOCKER), ("aws", AWS)):
            executable(bin_ / name, script)

    @property
    def called(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def step(self, name: str, *, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a step as GitHub does; `name` is the step's name or id."""
        steps = WORKFLOWS[self.workflow]["jobs"][self.job]["steps"]
        (step,) = (each for each in steps if name in (each.get("name"), each.get("id")))
        exported = self._exported.read_text().splitlines() if self._exported.exists() else []
        folder = cwd or self.repository / self._value(step.get("working-directory", "."))
        return subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=folder,
            env={
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "HOME": str(self.folder),
                "npm_config_offline": "true",
                "RUNNER": str(self.folder / "bin"),
                "LOG": str(self.log),
                "GITHUB_WORKSPACE": str(self.repository),
                "GITHUB_ENV": str(self._exported),
                "GITHUB_OUTPUT": str(self.folder / "output"),
                **dict(each.split("=", 1) for each in exported),
                **{key: self._value(str(value)) for key, value in step.get("env", {}).items()},
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def _value(self, text: str) -> str:
        declared = WORKFLOWS[self.workflow]["on"]["workflow_call"]["inputs"]
        known = {f"inputs.{name}": each.get("default", "") for name, each in declared.items()}
        known |= {f"inputs.{name}": value for name, value in self.inputs.items()}
        assert {f"inputs.{name}" for name in self.inputs} <= {f"inputs.{name}" for name in declared}
        known |= self.contexts
        return re.sub(r"\$\{\{ (\S+) \}\}", lambda match: str(known.get(match[1], "")), text)


def executable(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)


def package(folder: Path, tools: Path, manager: str, **more: Any) -> None:
    """A package manager with fake ESLint, Prettier and other tools."""
    needs = {each: f"file:{os.path.relpath(tools / each, folder)}" for each in ("eslint", "prettier", "biome")}
    folder.mkdir(parents=True, exist_ok=True)
    scripts = {"test": "eslint own tests", "lint": "eslint own lint"}
    content = {"name": folder.name, "version": "1.0.0", "scripts": scripts, "devDependencies": needs, **more}
    (folder / "package.json").write_text(json.dumps(content))


def versioned(manager: str) -> dict[str, str]:
    if manager == "npm":
        return {}
    installed = json.loads((ROOT / "node_modules" / manager / "package.json").read_text())
    return {"packageManager": f"{manager}@{installed['version']}"}


def checked(manager: str, folder: Path, *, folders: Sequence[str] = ("api", "site"), **inputs: Any) -> Runner:
    """A repository with a workspace of two services, and its lockfile; the runner checks `api`."""
    given = {"package-manager": manager, "working-directory": "api", **inputs}
    runner = Runner("service-check.yml", "check", folder, given)
    tools = runner.repository / "tools"
    for name in ("eslint", "prettier", "biome"):
        executable(tools / name / "cli.sh", TOOL.replace('$(basename "$0")', name))
        content = {"name": name, "version": "1.0.0", "bin": {name: "cli.sh"}}
        (tools / name / "package.json").write_text(json.dumps(content))
    workspaces = {"name": "shop", "private": True, "workspaces": [*folders], **versioned(manager)}
    (runner.repository / "package.json").write_text(json.dumps(workspaces))
    (runner.repository / "pnpm-workspace.yaml").write_text(f"packages: [{', '.join(folders)}]\n")
    for service in folders:
        package(runner.repository / service, tools, manager)
    lock(runner, manager)
    return runner


def lock(runner: Runner, manager: str) -> None:
    """Writes the lockfile, with nothing installed."""
    words = {"npm": ["--package-lock-only"], "pnpm": ["--lockfile-only", "--offline"], "bun": ["--lockfile-only"]}
    tool = shutil.which("npm") if manager == "npm" else str(_INSTALLED / manager)
    assert tool is not None
    environment = {"PATH": os.environ["PATH"], "HOME": str(runner.folder), "npm_config_offline": "true"}
    done = subprocess.run(
        [tool, "install", *words[manager]],
        cwd=runner.repository, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (runner.repository / LOCKFILES[manager]).exists(), done.stdout + done.stderr


def check(runner: Runner, name: str) -> subprocess.CompletedProcess[str]:
    runner.contexts = {"matrix.check": name}
    return runner.step("${{ matrix.check }}")


@pytest.mark.parametrize("manager", MANAGERS)
def test_lint_format_and_tests_run_in_the_services_own_folder_with_its_package_manager(
    manager: str, tmp_path: Path
) -> None:
    runner = checked(manager, tmp_path)
    done = runner.step("Install")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("lint", "format", "test"):
        done = check(runner, name)
        assert done.returncode == 0, done.stdout + done.stderr
    assert runner.called == [
        *([] if manager == "npm" else versioned(manager).values()),
        "eslint . in api",
        "prettier --check . in api",
        "eslint own tests in api",
    ]


@pytest.mark.parametrize("manager", MANAGERS)
def test_another_tool_is_an_input_and_an_empty_one_is_the_packages_own_script(manager: str, tmp_path: Path) -> None:
    runner = checked(manager, tmp_path, lint="", format="biome format . | cat", test="biome a && biome 'b c'")
    assert runner.step("Install").returncode == 0
    assert [check(runner, name).returncode for name in ("lint", "format", "test")] == [0, 0, 0]
    assert runner.called[-4:] == [
        "eslint own lint in api",
        "biome format . in api",
        "biome a in api",
        "biome b c in api",
    ]


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_service_with_a_lockfile_of_its_own_is_installed_by_that(manager: str, tmp_path: Path) -> None:
    runner = checked(manager, tmp_path)
    for name in ("package.json", "pnpm-workspace.yaml", LOCKFILES[manager]):
        (runner.repository / name).unlink()
    package(runner.repository / "api", runner.repository / "tools", manager, **versioned(manager))
    alone = Runner(runner.workflow, runner.job, tmp_path / "alone", runner.inputs)
    shutil.copytree(runner.repository, alone.repository, dirs_exist_ok=True)
    locked = Runner(runner.workflow, runner.job, tmp_path / "locked")
    locked.repository = alone.repository / "api"
    lock(locked, manager)
    done = alone.step("Install")
    assert done.returncode == 0, done.stdout + done.stderr
    assert check(alone, "lint").returncode == 0
    assert alone.called[-1] == "eslint . in api"


@pytest.mark.parametrize("command", ["lint", "format", "test"])
def test_a_failing_check_fails_the_job_also_in_front_of_a_pipe(command: str, tmp_path: Path) -> None:
    runner = checked("npm", tmp_path, **{command: "eslint . | cat"})
    assert runner.step("Install").returncode == 0
    (runner.repository / "api" / "broken").touch()
    assert check(runner, command).returncode != 0


def test_a_tool_that_is_not_installed_is_not_downloaded(tmp_path: Path) -> None:
    runner = checked("npm", tmp_path, lint="vitest run")
    assert runner.step("Install").returncode == 0
    done = check(runner, "lint")
    assert (done.returncode, "vitest: command not found" in done.stderr) == (127, True)


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_lockfile_that_is_behind_is_refused(manager: str, tmp_path: Path) -> None:
    runner = checked(manager, tmp_path)
    path = runner.repository / "api" / "package.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dependencies": {"another": "file:../tools/another"}}))
    shutil.copytree(runner.repository / "tools" / "biome", runner.repository / "tools" / "another")
    done = runner.step("Install")
    assert done.returncode != 0, done.stdout
    assert "lock" in done.stdout + done.stderr


@pytest.mark.parametrize(("manager", "change", "message"), [
    ("yarn", "", "package-manager is yarn: expected npm, pnpm or bun"),
    ("npm", "package-lock.json", "there is no package-lock.json"),
    ("bun", "", "packageManager in package.json is '': expected bun@VERSION"),
])  # fmt: skip
def test_a_missing_lockfile_or_version_is_named(manager: str, change: str, message: str, tmp_path: Path) -> None:
    runner = checked("npm", tmp_path, **{"package-manager": manager})
    (runner.repository / "bun.lock").touch()
    if change:
        (runner.repository / change).unlink()
    done = runner.step("Install")
    assert (done.returncode, message in done.stdout) == (1, True), done.stdout


SITE = {
    "vars.ARCHITECTURE": "arm64", "vars.BUCKET": "media",
    "vars.REPOSITORY": "1.dkr.ecr.eu-central-1.amazonaws.com/site",
    "vars.BUILD_ARGS": "NEXT_PUBLIC_TITLE=A shop of ours\nNEXT_PUBLIC_API_URL=https://api.example.com",
    "secrets.SERVER_ACTIONS_KEY": "key", "github.sha": "c0ffee",
}  # fmt: skip
BUILD = {"service": "site", "environment": "dev", "dockerfile": "site/Dockerfile"}
JOBS = {"service-release.yml": "build", "service-preview.yml": "preview"}


def built(workflow: str, folder: Path, **contexts: str) -> Runner:
    runner = Runner(workflow, JOBS[workflow], folder, {**BUILD, "build-args": "BUN=1.4\n\nWHERE=a b\n"})
    runner.contexts = {**SITE, **contexts}
    taken = runner.repository / "infrastructure"
    (runner.repository / "application").mkdir()
    taken.mkdir()
    slot = {"urls": {"api": "https://a.example", "site": "https://s.example"}, "build_args": {
        "site": ["NEXT_PUBLIC_TITLE=A shop of ours", "NEXT_PUBLIC_API_URL=https://api.example.com"]}}  # fmt: skip
    (taken / "slot.json").write_text(json.dumps(slot))
    return runner


def arguments(runner: Runner) -> list[str]:
    (line,) = (each for each in runner.called if each.startswith("docker <buildx>"))
    return re.findall(r"<([^>]*)>", line)


@pytest.mark.parametrize("workflow", JOBS)
def test_a_site_is_built_from_its_own_dockerfile_with_its_variables_whole(workflow: str, tmp_path: Path) -> None:
    runner = built(workflow, tmp_path)
    done = runner.step("push")
    assert done.returncode == 0, done.stdout + done.stderr
    given = arguments(runner)
    assert given[given.index("--file") + 1] == "site/Dockerfile"
    assert given[-1] == "."
    assert [each for each in given if each.startswith("--build-arg=")] == [
        "--build-arg=NEXT_PUBLIC_TITLE=A shop of ours",
        "--build-arg=NEXT_PUBLIC_API_URL=https://api.example.com",
        "--build-arg=BUN=1.4",
        "--build-arg=WHERE=a b",
    ]
    assert (tmp_path / "output").read_text() == f"image={SITE['vars.REPOSITORY']}@sha256:0\n"


@pytest.mark.parametrize("workflow", JOBS)
def test_a_service_that_is_not_a_site_is_built_without_site_variables_and_key(workflow: str, tmp_path: Path) -> None:
    none = {"vars.BUCKET": "", "vars.BUILD_ARGS": "", "secrets.SERVER_ACTIONS_KEY": ""}
    runner = built(workflow, tmp_path, **none)
    runner.inputs = {"service": "api", "environment": "dev"}
    done = runner.step("push")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [each for each in arguments(runner) if each.startswith("--build-arg=")] == []
    assert arguments(runner)[-1] == "."


@pytest.mark.parametrize(("workflow", "where"), [
    ("service-release.yml", "dev-site"), ("service-preview.yml", "dev-site-preview"),
])  # fmt: skip
def test_a_site_is_not_built_without_its_key(workflow: str, where: str, tmp_path: Path) -> None:
    runner = built(workflow, tmp_path, **{"secrets.SERVER_ACTIONS_KEY": ""})
    done = runner.step("push")
    assert (done.returncode, runner.called) == (1, [])
    assert f"SERVER_ACTIONS_KEY is empty: set it in the GitHub environment {where}\n" in done.stdout


@pytest.mark.parametrize("workflow", JOBS)
@pytest.mark.parametrize(("architecture", "expected"), [
    ("x86_64", "services.site.architecture of dev is x86_64. Pass the same"), ("", "is not known here"),
])  # fmt: skip
def test_nothing_is_built_for_another_architecture_than_the_services(
    architecture: str, expected: str, workflow: str, tmp_path: Path
) -> None:
    runner = built(workflow, tmp_path, **{"vars.ARCHITECTURE": architecture})
    done = runner.step("push")
    assert (done.returncode, runner.called, expected in done.stdout) == (1, [], True), done.stdout
    assert len(done.stdout.splitlines()) == 1, "GitHub shows the first line of an error"


@pytest.mark.parametrize("workflow", JOBS)
def test_an_image_for_x86_64_is_built_where_the_caller_says_so(workflow: str, tmp_path: Path) -> None:
    runner = built(workflow, tmp_path, **{"vars.ARCHITECTURE": "x86_64"})
    runner.inputs = {**runner.inputs, "architecture": "x86_64"}
    assert runner.step("push").returncode == 0
    assert "--platform" not in arguments(runner), "the runner's own"


@pytest.mark.parametrize(("workflow", "job"), [*JOBS.items(), ("service-check.yml", "check")])
def test_an_image_is_built_and_tested_on_a_runner_of_its_architecture(workflow: str, job: str) -> None:
    expression = "${{ inputs.architecture == 'x86_64' && 'ubuntu-24.04' || 'ubuntu-24.04-arm' }}"
    assert WORKFLOWS[workflow]["jobs"][job]["runs-on"] == expression


def test_static_files_come_from_the_folder_that_the_caller_names(tmp_path: Path) -> None:
    runner = built("service-release.yml", tmp_path, **{"steps.push.outputs.image": "site@sha256:0"})
    runner.inputs = {**runner.inputs, "static-files": "/usr/src/app/site/.next/static"}
    assert runner.step("Upload the site's static files before its release").returncode == 0
    assert [each for each in runner.called if "<cp>" in each] == [
        "docker <cp> <:/usr/src/app/site/.next/static> <static>"
    ]
    assert runner.called[-1].startswith("aws s3 cp static s3://media/_next/static/ --recursive")
