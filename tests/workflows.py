"""What has to hold in every GitHub workflow of ours, asked of it as data."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
_KEY = re.compile(r"AKIA|aws-access-key|aws-secret|AWS_SECRET|AWS_ACCESS_KEY", re.IGNORECASE)
_LOGIN = "aws-actions/configure-aws-credentials@"
Workflow = Mapping[str, Any]


def read(folder: Path) -> dict[str, Workflow]:
    """Workflows by file name. YAML 1.1 reads the key `on` as true, which this corrects."""
    found: dict[str, Workflow] = {}
    for path in sorted(folder.glob("*.yml")):
        loaded = yaml.safe_load(path.read_text())
        found[path.name] = {("on" if key is True else key): value for key, value in loaded.items()}
    return found


def complaints(workflows: Mapping[str, Workflow], after: Mapping[str, str | None]) -> list[str]:
    """`after` has each environment, and the one that is deployed before it."""
    found = [
        f"{name}: {what}" for name, workflow in workflows.items() for what in (*_whole(workflow), *_jobs(workflow))
    ]
    return [*found, *_order(workflows, after), *_gates(workflows)]


def _changes_something(workflow: Workflow) -> bool:
    return any(
        re.search(r"cdk deploy|infra (release|preview)|uses: \S*deploy", str(step.get("run", "")))
        for job in workflow["jobs"].values()
        for step in job.get("steps", [])
    ) or any("deploy-environment" in job.get("uses", "") for job in workflow["jobs"].values())


def _whole(workflow: Workflow) -> Iterator[str]:
    if workflow.get("permissions") != {}:
        yield "permissions of the whole have to be none: each job asks for its own"
    if _changes_something(workflow):
        groups = [workflow.get("concurrency"), *(job.get("concurrency") for job in workflow["jobs"].values())]
        said = [each for each in groups if each is not None]
        if not said and any("steps" in job for job in workflow["jobs"].values()):
            yield "it changes something, so there has to be one at a time"
        if said and not any("steps" in job for job in workflow["jobs"].values()):
            yield "the whole run is held while one environment waits for approval: a group for each environment"
        if any(each.get("cancel-in-progress") is not False for each in said):
            yield "what changes something is never cancelled half-way"
    if _KEY.search(str(workflow)):
        yield "a key of AWS's: only OIDC"


def _jobs(workflow: Workflow) -> Iterator[str]:
    for name, job in workflow["jobs"].items():
        needs = job.get("needs", [])
        # Without it the value is empty without an error: a plan without approval, a skipped check.
        if read := set(re.findall(r"needs\.([\w-]+)\.", str(job))) - {*([needs] if isinstance(needs, str) else needs)}:
            yield f"{name}: reads of {', '.join(sorted(read))}, which it does not need"
        if job.get("continue-on-error"):
            yield f"{name}: it may fail unnoticed"
        if "always()" in str(job.get("if", "")):
            yield f"{name}: it runs whatever failed before it"
        if "steps" not in job:
            if not str(job.get("uses", "")).startswith("./") and not _PINNED.fullmatch(str(job.get("uses", ""))):
                yield f"{name}: {job.get('uses')} is not pinned"
            continue
        if not isinstance(job.get("timeout-minutes"), int):
            yield f"{name}: no time-out"
        yield from (f"{name}: {what}" for what in _node(job))
        if "permissions" not in job:
            yield f"{name}: no permissions of its own"
        if any(value == "write" for key, value in job.get("permissions", {}).items() if key == "contents"):
            yield f"{name}: it may write to the repository"
        yield from (f"{name}: {what}" for what in _access(job))
        for step in job["steps"]:
            yield from (f"{name}: {what}" for what in _step(step))


def _node(job: Workflow) -> Iterator[str]:
    """Workflows use .node-version's version, whichever the runner has."""
    scripts = " ".join(str(step.get("run", "")) for step in job["steps"])
    versions = [step for step in job["steps"] if str(step.get("uses", "")).startswith("actions/setup-node@")]
    if re.search(r"\bmake |\bnpm |\bnpx ", scripts) and not versions:
        yield "it runs whatever Node the runner has"
    if any(not str(step["with"].get("node-version-file")).endswith(".node-version") for step in versions):
        yield "a Node of its own"


def _access(job: Workflow) -> Iterator[str]:
    logins = [step for step in job["steps"] if str(step.get("uses", "")).startswith(_LOGIN)]
    has_token = job.get("permissions", {}).get("id-token") == "write"
    if has_token and not logins:
        yield "a token that no step needs"
    if not logins:
        return
    if not has_token:
        yield "no token to log in with"
    if re.search(r"make setup\s*$", "\n".join(str(step.get("run", "")) for step in job["steps"]), re.MULTILINE):
        yield "development tools beside an AWS role: make setup-deploy"
    if not job.get("environment"):
        yield "no environment: the role trusts none but an environment's token"
    for login in logins:
        given = login.get("with", {})
        if not re.fullmatch(r"\$\{\{ vars\.[A-Z_]+ \}\}", str(given.get("role-to-assume"))):
            yield "the role comes from the environment's variables"
        session = int(given.get("role-duration-seconds", 3600))
        if session < 60 * int(job.get("timeout-minutes", 360)) > 3600:
            yield "its credentials end before it does"
        if session > 3600 and session > 60 * int(job.get("timeout-minutes", 360)) + 600:
            yield "its credentials outlive it"


# Steps that may fail a job; a condition or the shell could hide the failure.
_GATES = re.compile(
    r"infra (doctor|release|drift)|make (check|test)|ecr describe-image-scan-findings|squawk|\{!command"
)


def _names_its_run(step: Workflow) -> bool:
    """Two builds of one commit differ, and ECR refuses the second one under the tag of the first (moby/buildkit #3776,
    docker/build-push-action #1042). A run that is repeated keeps its id; another run of the commit begins at attempt 1.
    """
    tags = re.findall(r'--tag "\$REPOSITORY:\$(\w+)"', str(step["run"]))
    values = [str((step.get("env") or {}).get(tag)) for tag in tags]
    return bool(tags) and all("github.run_id" in each and "github.run_attempt" in each for each in values)


def _step(step: Workflow) -> Iterator[str]:
    uses = step.get("uses")
    script = str(step.get("run", ""))
    if step.get("continue-on-error"):
        yield "a step that may fail unnoticed"
    if "always()" in str(step.get("if", "")):
        yield "a step that runs whatever failed before it"
    if _GATES.search(script) and re.search(r"\|\|\s*(true|:|exit 0)", script):
        yield "a check whose no is not heard"
    if re.search(r"(curl|wget)\b[^\n]*\|\s*(sudo\s+)?(ba|z|da)?sh\b", script):
        yield "a download that is run"
    if "docker buildx build" in script and not _names_its_run(step):
        yield "a tag that another run, or this one again, pushes too: ECR's are immutable"
    if re.search(r"sudo .*make", script):
        yield "make as root leaves folders that other users cannot change, and finds another Node"
    if uses is not None and not _PINNED.fullmatch(uses):
        yield f"{uses} is not pinned by its commit"
    if str(uses).startswith("actions/checkout@") and (step.get("with") or {}).get("persist-credentials") is not False:
        yield "the checkout leaves its token behind"
    if "${{" in str(step.get("run", "")):
        yield "an expression inside of a script: pass it through `env`"


def _order(workflows: Mapping[str, Workflow], after: Mapping[str, str | None]) -> Iterator[str]:
    """Each environment after the one before it; release after build; tests first."""
    deployed = workflows["deploy.yml"]["jobs"]
    if deployed.keys() != after.keys():
        yield f"deploy.yml: it deploys {', '.join(deployed)}, and the environments are {', '.join(after)}"
    chain = [("deploy.yml", job, after.get(job)) for job in deployed]
    for file, job, before in (*chain, ("service-release.yml", "release", "build")):
        needs = workflows[file]["jobs"][job].get("needs")
        if needs != before:
            yield f"{file}: {job} has to wait for {before}, and waits for {needs}"
    steps = workflows["deploy-environment.yml"]["jobs"]["deploy"]["steps"]
    if not any("run_attempt" in str(step.get("if")) and "commits/main" in str(step.get("run")) for step in steps):
        yield "deploy-environment.yml: an old run that is run again puts old code over newer"
    if "pull_request" not in workflows["check.yml"]["on"]:
        yield "check.yml: not on pull requests"
    # As config/services.py names them, and AWS's roles trust them.
    own = "${{ inputs.environment }}-${{ inputs.service }}"
    for name, job in workflows["service-preview.yml"]["jobs"].items():
        if job.get("environment") != f"{own}-preview":
            yield f"service-preview.yml: {name} runs unreviewed code in a release environment"
    for name, job in workflows["service-release.yml"]["jobs"].items():
        if job.get("environment") != own:
            yield f"service-release.yml: {name} does not run in the environment of its service"
    if "schedule" not in workflows["drift.yml"]["on"]:
        yield "drift.yml: not by itself"
    for file, workflow in workflows.items():
        if "pull_request_target" in workflow["on"]:
            yield f"{file}: a stranger's code with our access"


# Triggers of each workflow. A reusable one runs by its caller's triggers.
TRIGGERS: Mapping[str, Mapping[str, Any]] = {
    "check.yml": {"pull_request": None, "push": {"branches": ["main"]}},
    "deploy.yml": {"push": {"branches": ["main"]}, "workflow_dispatch": None},
    "drift.yml": {"schedule": [{"cron": "17 4 * * *"}], "workflow_dispatch": None},
}
_LOOKS, _TAKES_A_ROLE = {"contents": "read"}, {"contents": "read", "id-token": "write"}
_COMMENTS = {"pull-requests": "write"}
# Reads the runs before it: an older one is not deployed again.
_DEPLOYS = {**_TAKES_A_ROLE, "actions": "read"}
PERMISSIONS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("check.yml", "test"): _LOOKS,
    ("check.yml", "upgrade"): _LOOKS,
    ("check.yml", "review"): {**_LOOKS, **_COMMENTS},
    ("deploy-environment.yml", "plan"): _TAKES_A_ROLE,
    ("deploy-environment.yml", "deploy"): _DEPLOYS,
    ("drift.yml", "environments"): _LOOKS,
    ("drift.yml", "drift"): _TAKES_A_ROLE,
    ("service-check.yml", "check"): _LOOKS,
    ("service-check.yml", "migrations"): _LOOKS,
    ("service-preview.yml", "preview"): {**_TAKES_A_ROLE, **_COMMENTS},
    ("service-preview.yml", "end"): _TAKES_A_ROLE,
    ("service-release.yml", "build"): _TAKES_A_ROLE,
    ("service-release.yml", "release"): _TAKES_A_ROLE,
}
# Steps that must be there, in this order, and run whatever the circumstances: by what their scripts have in them.
ALWAYS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("check.yml", "test"): (r"make setup$", r"make check$", r"make test$"),
    ("check.yml", "upgrade"): (r"make rehearse .*FROM=",),
    ("check.yml", "review"): (r"make setup$", r"infra review"),
    ("deploy-environment.yml", "deploy"): (
        r"make setup-deploy$",
        r"infra doctor",
        r"infra effects .*--approved",
        r"cdk deploy",
    ),
    ("deploy-environment.yml", "plan"): (r"make setup-deploy$", r"infra effects"),
    ("drift.yml", "drift"): (r"make setup-deploy$", r"infra drift"),
    ("service-check.yml", "check"): (r"install", r"\{!command"),
    ("service-check.yml", "migrations"): (r"git ",),
    ("service-preview.yml", "preview"): (r"infra preview", r"docker ", r"infra preview"),
    ("service-preview.yml", "end"): (r"infra preview",),
    ("service-release.yml", "build"): (r"docker ", r"imageScanStatus"),
    ("service-release.yml", "release"): (r"infra release",),
}
_NOT_DEPENDABOT = "github.event.pull_request.user.login != 'dependabot[bot]'"
JOBS_ONLY_IF = {
    ("check.yml", "review"): "github.event_name == 'pull_request'",
    ("service-check.yml", "migrations"): (
        "inputs.migrations != '' && (github.event.pull_request || github.event.before && !github.event.created)"
    ),
    ("service-preview.yml", "preview"): f"github.event.action != 'closed' && {_NOT_DEPENDABOT}",
    ("service-preview.yml", "end"): f"github.event.action == 'closed' && {_NOT_DEPENDABOT}",
}
CHECKS = ["lint", "format", "test"]
# Everything else runs always.
CONDITIONS = {
    "failure() && steps.deploy.outcome == 'failure'",
    "github.run_attempt > 1",
    "matrix.check == 'test' && inputs.compose",
    "vars.BUCKET != ''",
    "${{ !cancelled() && github.event.pull_request.head.repo.full_name == github.repository }}",
}


def _gates(workflows: Mapping[str, Workflow]) -> Iterator[str]:
    for file, wanted in TRIGGERS.items():
        found = {name: None if name == "workflow_dispatch" else each for name, each in workflows[file]["on"].items()}
        if found != wanted:
            yield f"{file}: started by {found}, must be by {wanted}"
    for file in {file for file, _ in PERMISSIONS}:
        wanted_jobs = {name for other, name in PERMISSIONS if other == file}
        if set(workflows[file]["jobs"]) != wanted_jobs:
            yield f"{file}: has the jobs {sorted(workflows[file]['jobs'])}, must have {sorted(wanted_jobs)}"
    checks = workflows["service-check.yml"]["jobs"].get("check", {}).get("strategy", {}).get("matrix", {}).get("check")
    if checks != CHECKS:
        yield f"service-check.yml: checks {checks}, must {CHECKS}"
    for file, workflow in workflows.items():
        if file not in TRIGGERS and set(workflow["on"]) != {"workflow_call"}:
            yield f"{file}: started by {sorted(workflow['on'])}, must be by its callers only"
        for name, job in workflow["jobs"].items():
            wanted_permissions = _DEPLOYS if file == "deploy.yml" else PERMISSIONS.get((file, name))
            if job.get("permissions") != wanted_permissions:
                yield f"{file}: {name} may {job.get('permissions')}, must {wanted_permissions}"
            if job.get("if") != JOBS_ONLY_IF.get((file, name)):
                yield f"{file}: {name} runs only if {job.get('if')}, must only if {JOBS_ONLY_IF.get((file, name))}"
            yield from (f"{file}: {name}: {what}" for what in _conditions(job.get("steps", [])))
            if "steps" in job:
                yield from (f"{file}: {name}: {what}" for what in _in_order(job["steps"], ALWAYS.get((file, name), ())))


def _conditions(steps: Any) -> Iterator[str]:
    for step in steps:
        if str(step.get("if", "")) not in CONDITIONS | {""}:
            yield f"a step runs only if {step['if']}"
        if re.search(r"\|\|\s*(true|:|exit 0)\s*$", str(step.get("run", "")), re.MULTILINE):
            yield "a step whose failure is not heard"


def _in_order(steps: Any, wanted: tuple[str, ...]) -> Iterator[str]:
    place = 0
    for script in wanted:
        found = [
            number
            for number, step in enumerate(steps)
            if number >= place and "if" not in step and re.search(script, str(step.get("run", "")), re.MULTILINE)
        ]
        if not found:
            yield f"no step has {script!r} where it should"
            return
        place = found[0] + 1
