"""docs/one-repository.md: its workflows, commands and environment agree with each other and with our workflows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import load
from config.services import github_environment, released, repositories
from tests.layout.test_service_workflows import MANAGERS, check, checked
from tests.layout.test_workflows import actionlint
from tests.workflows import read

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "one-repository.md").read_text()
EXAMPLE = load(["dev"], directory=ROOT / "docs" / "one-repository")["dev"]


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", PAGE, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


FILES = {text.partition("\n")[0].removeprefix("# "): text for text in blocks("yaml")}
CALLS = {path: yaml.safe_load(text)["jobs"] for path, text in FILES.items()}


def test_each_workflow_is_one_that_github_takes(tmp_path: Path) -> None:
    for path, text in FILES.items():
        (tmp_path / Path(path).name).write_text(text)
    assert len(read(tmp_path)) == 2
    assert actionlint(tmp_path) == ""


def test_each_call_gives_what_the_workflow_takes_and_permits_what_its_jobs_ask_for() -> None:
    ours = read(ROOT / ".github" / "workflows")
    called = [job for jobs in CALLS.values() for job in jobs.values()]
    assert len(called) == 6
    for job in called:
        uses = re.fullmatch(r"example/infrastructure/\.github/workflows/(\S+)@COMMIT", job["uses"])
        assert uses is not None, job["uses"]
        workflow = ours[uses[1]]
        takes = workflow["on"]["workflow_call"]
        required = {name for name, each in takes["inputs"].items() if each.get("required")}
        assert required <= job["with"].keys() <= takes["inputs"].keys()
        assert job.get("secrets", {}).keys() <= takes.get("secrets", {}).keys()
        # GitHub refuses a call whose jobs ask for more than the caller has.
        asked = [set(each["permissions"].items()) for each in workflow["jobs"].values()]
        assert set(job["permissions"].items()) == set().union(*asked)


def test_they_name_the_environments_services_and_architectures() -> None:
    assert set(repositories(EXAMPLE).values()) == {"example/infrastructure", "example/shop"}
    output = set()
    for jobs in CALLS.values():
        services = {job["with"]["service"] for job in jobs.values() if "service" in job["with"]}
        (service,) = services
        output |= services
        for job in jobs.values():
            assert job["with"]["architecture"] == EXAMPLE.services[service].architecture
            assert job["with"].get("environment", "dev") == EXAMPLE.delivery.environment
            assert job["with"].get("infrastructure", "example/infrastructure") == EXAMPLE.delivery.repository
    assert output == set(released(EXAMPLE))


def test_the_page_names_every_github_environment_and_secret() -> None:
    where = {github_environment(EXAMPLE, each) for each in released(EXAMPLE)}
    assert [each for each in [*where, *(f"{each}-preview" for each in where)] if f"`{each}`" not in PAGE] == []
    commands = "\n".join(blocks("sh"))
    sites = [github_environment(EXAMPLE, name) for name, own in released(EXAMPLE).items() if own.site]
    set_ = re.findall(r"gh secret set (\S+) --repo example/shop --env (\S+)", commands)
    assert set_ == [("SERVER_ACTIONS_KEY", f"{site}{suffix}") for site in sites for suffix in ("", "-preview")]


def test_every_input_is_explained_with_its_default() -> None:
    table = re.findall(r"^\| (`[^|]+`) \| [^|]+ \| ([^|]+) \|", PAGE, re.MULTILINE)
    found: dict[str, str] = {}
    for names, defaults in table:
        listed = re.findall(r"`([^`]+)`", defaults) or [""]
        found |= dict(zip(re.findall(r"`([^`]+)`", names), listed, strict=True))
    ours: dict[str, str] = {}
    for file in ("service-check.yml", "service-preview.yml", "service-release.yml"):
        for name, each in read(ROOT / ".github" / "workflows")[file]["on"]["workflow_call"]["inputs"].items():
            if name not in {"service", "environment", "infrastructure", "infrastructure-ref"}:
                default = json.dumps(each["default"]) if isinstance(each["default"], bool) else each["default"]
                assert ours.setdefault(name, default) == default, name
    assert found == ours


@pytest.mark.parametrize(("changed", "runs"), [
    ("backend/src/server.ts", {"api"}),
    ("backend/package.json", {"api"}),
    ("frontend/app/page.tsx", {"site"}),
    ("shared/money.ts", {"api", "site"}),
    ("bun.lock", {"api", "site"}),
    (".github/workflows/api.yml", {"api"}),
    ("README.md", set()),
    ("frontend-notes.md", set()),
])  # fmt: skip
def test_a_service_is_released_only_when_something_of_it_has_changed(changed: str, runs: set[str]) -> None:
    for event in ("push", "pull_request"):
        found = {
            Path(path).stem
            for path, text in FILES.items()
            if any(_matches(each, changed) for each in yaml.safe_load(text)[True][event]["paths"])
        }
        assert found == runs, event


def _matches(pattern: str, path: str) -> bool:
    """`**` is anything, `*` anything but `/` (GitHub Docs, Workflow syntax, "Filter pattern cheat sheet")."""
    parts = re.split(r"(\*\*|\*)", pattern)
    regex = "".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(regex, path) is not None


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize("path", FILES)
def test_lint_and_format_of_each_service_run(path: str, manager: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {**CALLS[path]["check"]["with"], "package-manager": manager}
    runner = checked(manager, tmp_path, folders=("backend", "frontend"), **given)
    assert runner.step("Install").returncode == 0
    assert [check(runner, name).returncode for name in ("lint", "format")] == [0, 0]
    folder = given["working-directory"]
    assert runner.called[-2:] == [f"biome lint . in {folder}", f"biome format . in {folder}"]
