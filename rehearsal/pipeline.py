"""Jobs of GitHub's workflows, whose only AWS credential is a token from GitHub."""

import base64
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from config.services import repositories
from ops.github.settings import outputs_of, settings
from ops.github.subjects import name_of
from rehearsal.account import Account
from simulators.aws.process import ROOT

DEPLOY, DRIFT = "deploy-environment.yml", "drift.yml"
RELEASE, PREVIEW = "service-release.yml", "service-preview.yml"

_ISSUER = "https://token.actions.githubusercontent.com"
# Audience that aws-actions/configure-aws-credentials requests, and GitHub's default (GitHub Docs, "OpenID Connect
# reference").
_AUDIENCE, _DEFAULT_AUDIENCE = "sts.amazonaws.com", "https://github.com"
_AT_ONCE = 8
_REFUSALS = {"AccessDenied", "InvalidIdentityToken"}


@dataclass(frozen=True, kw_only=True)
class WorkflowJob:
    """A job of a workflow, in one of GitHub's environments."""

    workflow: str
    """File name."""
    repository: str
    """Name in this repository's tokens: OWNER/NAME, or OWNER@OWNER_ID/NAME@REPOSITORY_ID."""
    environment: str
    service: str | None
    """Service that it releases or previews; None in the infrastructure's repository."""
    role: str
    """ARN, from the variable that the workflow reads."""
    seconds: int
    """Duration of the session that the workflow requests."""

    @property
    def subject(self) -> str:
        return f"repo:{self.repository}:environment:{self.environment}"

    def wrong_subjects(self) -> Iterator[str]:
        """Subjects of tokens that GitHub gives to other repositories, or to this one for another job."""
        owner, name = self.repository.split("/")
        login, title = owner.partition("@")[0], name.partition("@")[0]
        yield f"repo:{self.repository}:pull_request"
        yield f"repo:{self.repository}:ref:refs/heads/main"
        yield f"repo:{self.repository}:environment:somewhere-else"
        yield f"repo:{owner}/another:environment:{self.environment}"
        yield f"repo:someone-else/{name}:environment:{self.environment}"
        # The other format, of a repository that got the name later.
        other = f"{login}/{title}" if "@" in self.repository else f"{login}@1/{title}@2"
        yield f"repo:{other}:environment:{self.environment}"


@dataclass(frozen=True)
class Pipeline:
    """The pipelines of an account whose stack Delivery is deployed."""

    account: Account

    @cached_property
    def jobs(self) -> tuple[WorkflowJob, ...]:
        """One job for each role, with the variables that `infra github` sets in GitHub's environments."""
        in_tokens = {name_of(each): each for each in repositories(self.account.environment).values()}
        outputs = outputs_of(self.account, self.account.stack_name("Delivery"))
        return tuple(
            WorkflowJob(
                workflow=each.workflow,
                repository=in_tokens[each.repository],
                environment=each.name,
                service=each.service,
                role=next(value for name, value in each.variables.items() if name.endswith("_ROLE")),
                seconds=_seconds(each.workflow),
            )
            for each in settings(self.account.environment, outputs)
        )

    @cached_property
    def _sts(self) -> Any:
        return self.account.client("sts")

    def enter(self, job: WorkflowJob) -> Account:
        """The account, with the credentials of the job's role. Raises `ClientError` where AWS refuses the token."""
        if self.account.cdk.access_key is None:
            return self.account  # Without IAM, the emulator cannot map temporary credentials to an account.
        keys = self._keys(job.role, job.subject, _AUDIENCE, job.seconds)
        pair = keys["AccessKeyId"], keys["SecretAccessKey"]
        return replace(self.account, cdk=replace(self.account.cdk, access_key=pair, session_token=keys["SessionToken"]))

    def runs(self, workflow: str, service: str | None = None) -> Account:
        """The account as this workflow reaches it; `service` is for the workflows of a service."""
        (job,) = [each for each in self.jobs if (each.workflow, each.service) == (workflow, service)]
        return self.enter(job)

    def is_refused(self, role: str, subject: str, audience: str = _AUDIENCE) -> bool:
        """Whether AWS refuses such a token. Raises `ClientError` for every other error."""
        try:
            self._keys(role, subject, audience, 3600)
        except ClientError as error:
            if error.response["Error"]["Code"] in _REFUSALS:
                return True
            raise
        return False

    def intruders(self) -> list[str]:
        """GitHub tokens that can assume a role of the stack Delivery and should not, one sentence each."""
        tokens = list(self._wrong_tokens())
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            refused = list(pool.map(lambda token: self.is_refused(*token), tokens))
        return [
            f"a token of {subject} for {audience} enters {role.rpartition('/')[2]}"
            for (role, subject, audience), is_refused in zip(tokens, refused, strict=True)
            if not is_refused
        ]

    def _wrong_tokens(self) -> Iterator[tuple[str, str, str]]:
        """(ARN of a role, subject, audience)."""
        for job in self.jobs:
            wrong = {*job.wrong_subjects(), *(other.subject for other in self.jobs)} - {job.subject}
            yield from ((job.role, subject, _AUDIENCE) for subject in wrong)
            owner = job.repository.partition("/")[0].partition("@")[0]
            yield job.role, job.subject, f"{_DEFAULT_AUDIENCE}/{owner}"
        ours = {job.role for job in self.jobs}
        for name in self.account.resources("Delivery", "AWS::IAM::Role"):
            arn = f"arn:aws:iam::{self.account.environment.aws.account}:role/{name}"
            if arn not in ours:
                yield arn, self.jobs[0].subject, _AUDIENCE

    def _keys(self, role: str, subject: str, audience: str, seconds: int) -> dict[str, Any]:
        found: dict[str, Any] = self._sts.assume_role_with_web_identity(
            RoleArn=role,
            RoleSessionName="GitHubActions",
            WebIdentityToken=_token(iss=_ISSUER, sub=subject, aud=audience),
            DurationSeconds=seconds,
        )["Credentials"]
        return found


def _seconds(workflow: str) -> int:
    """The longest session that one of its jobs requests."""
    text = (ROOT / ".github" / "workflows" / workflow).read_text()
    return max(int(each) for each in re.findall(r"role-duration-seconds: (\d+)", text))


def _token(**claims: str) -> str:
    """A JSON Web Token, except for the signature, which the emulator does not verify."""
    parts = ({"alg": "RS256", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts]
    return ".".join([*encoded, "signature"])
