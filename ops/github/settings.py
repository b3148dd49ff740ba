"""Variables and secrets of the GitHub environments that the workflows run in, from a deployed environment."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from config import services
from config.model import Environment
from ops.errors import OperatorError
from ops.functions import Clients
from ops.github.subjects import name_of

BRANCH = "main"


@dataclass(frozen=True, kw_only=True)
class GitHubEnvironment:
    """One GitHub environment of one repository, as the workflows need it."""

    repository: str
    """OWNER/NAME"""
    name: str
    service: str | None = None
    """The service that its jobs release or preview; None for the infrastructure's."""
    workflow: str
    """File name of the workflow whose jobs run in it."""
    variables: Mapping[str, str]
    secrets: Sequence[str] = ()
    """Names of secrets that a person has to set; AWS does not have their values."""
    only_main: bool = True
    """Whether only jobs of the main branch run in it. Otherwise jobs of any branch can assume its roles."""


def outputs_of(clients: Clients, stack: str) -> dict[str, str]:
    """Outputs of a deployed stack. Raises what boto3 raises when there is no such stack."""
    (found,) = clients.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}


def settings(environment: Environment, outputs: Mapping[str, str]) -> Iterator[GitHubEnvironment]:
    """`outputs` are those of the stack Delivery. Raises `OperatorError` where one is missing."""
    delivery, region = environment.delivery, {"AWS_REGION": environment.aws.region}

    def output(name: str) -> str:
        if name not in outputs:
            raise OperatorError(f"the stack Delivery has no output {name}; deploy it again")
        return outputs[name]

    infrastructure, where = name_of(delivery.repository), delivery.environment
    yield GitHubEnvironment(
        repository=infrastructure,
        name=where,
        workflow="deploy-environment.yml",
        variables={**region, "DEPLOY_ROLE": output("DeployRole")},
    )
    yield GitHubEnvironment(
        repository=infrastructure,
        name=f"{where}-drift",
        workflow="drift.yml",
        variables={**region, "DRIFT_ROLE": output("DriftRole")},
    )
    for name, own in services.released(environment).items():
        service, repository, is_site = services.words(name), own.repository or "", own.site
        common = {**region, "REPOSITORY": output(f"{service}Repository"), "ARCHITECTURE": own.architecture}
        site = {"BUCKET": environment.media.bucket, "BUILD_ARGS": output(f"{service}BuildArgs")} if is_site else {}
        sentry = ["SENTRY_AUTH_TOKEN"] if own.sentry is not None else []
        yield GitHubEnvironment(
            repository=name_of(repository),
            service=name,
            name=services.github_environment(environment, name),
            workflow="service-release.yml",
            variables={**common, "RELEASE_ROLE": output(f"{service}ReleaseRole"), **site},
            secrets=["SERVER_ACTIONS_KEY", *sentry] if is_site else [],
        )
        if name in services.previewed(environment) and environment.previews is not None:
            yield GitHubEnvironment(
                repository=name_of(repository),
                service=name,
                name=services.github_preview_environment(environment, name),
                workflow="service-preview.yml",
                variables={**common, "PREVIEW_ROLE": output(f"{service}PreviewRole")},
                secrets=["SERVER_ACTIONS_KEY"] if is_site else [],
                only_main=False,  # Pull requests come from other branches.
            )


def commands(needed: GitHubEnvironment) -> Iterator[str]:
    """Commands for bash that create it, with GitHub's `gh`, logged in."""
    where = f"repos/{needed.repository}/environments/{needed.name}"
    # An existing environment is left alone: PUT would replace its reviewers, which are not known here.
    create = [f"gh api --method PUT {where} --silent"]
    if needed.only_main:
        policy = '{"deployment_branch_policy": {"protected_branches": false, "custom_branch_policies": true}}'
        create[0] += f" --input - <<<{shlex.quote(policy)}"
        create.append(f"gh api --method POST {where}/deployment-branch-policies --silent --field name={BRANCH}")
        yield f"# If it exists already, limit it to {BRANCH} by hand: any other branch would get its role."
    yield f"gh api {where} --silent 2>/dev/null || {{ {' && '.join(create)}; }}"
    options = f"--repo {needed.repository} --env {needed.name}"
    for name, value in sorted(needed.variables.items()):
        yield f"gh variable set {name} {options} --body {shlex.quote(value)}"
    for name in needed.secrets:
        yield f"gh secret set {name} {options}"
