"""The rehearsed account, through boto3."""

import json
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from typing import Any

import boto3
import botocore.session
from botocore.loaders import create_loader

from config import Environment, services, variables
from config.model import routes
from infra_runtime.contract.names import stack_name
from infra_runtime.contract.redis_url import Node, RedisTarget
from infra_runtime.contract.revision import APP, named
from infra_runtime.release.preflight import service_arns, service_of
from ops.doctor.account import service_linked_roles
from ops.doctor.finding import Finding
from ops.doctor.quotas import quotas
from ops.errors import InputError
from ops.github.subjects import name_of
from rehearsal.cdk_cli import CdkCli
from simulators.aws.conditions import Condition
from simulators.aws.process import Emulator, emulator
from simulators.cloudflare.analytics import SampledRequest
from simulators.cloudflare.foreign import run_owasp, settle
from simulators.cloudflare.server import served
from simulators.cloudflare.simulator import CloudflareSimulator
from simulators.cloudflare.world import World, Zone
from simulators.github.simulator import GitHub, Repository
from simulators.github.simulator import served as github_served
from simulators.pagerduty.simulator import ROUTING_KEY, PagerDuty
from simulators.pagerduty.simulator import served as pagerduty_served
from simulators.redis.authority import Authority
from simulators.redis.server import sentinels
from simulators.sentry.simulator import TOKEN as SENTRY_TOKEN
from simulators.sentry.simulator import SentrySimulator
from simulators.sentry.simulator import served as sentry_served
from simulators.upstash import server as upstash_server
from simulators.upstash.simulator import API_KEY, EMAIL, UpstashSimulator

TOKEN = "what-stands-for-a-cloudflare-token-here"  # noqa: S105
_PERSON = "operator"
_GRANT_SECONDS = 30.0
# Shared by all sessions: each role that a check assumes has its own session, which would parse them again.
_service_models = create_loader()
_PASSWORD = "what-stands-for-a-password-here"  # noqa: S105


def cloudflare_for(environment: Environment) -> CloudflareSimulator:
    """A zone on the environment's plan that already has foreign objects and visitors."""
    world = World([Zone(environment.domains.zone, environment.cloudflare.plan)], tokens={TOKEN: "active"})
    settle(world)
    if environment.cloudflare.zone is None and world.zones[0].plan.managed_waf:
        run_owasp(world.zones[0])
    world.zones[0].traffic.requests += _visits(environment.domains.media)
    return CloudflareSimulator(world)


def github_for(environment: Environment) -> GitHub:
    """The environment's repositories, with the token format that its file names."""
    return GitHub({name_of(each): Repository(each) for each in services.repositories(environment).values()})


def _visits(host: str) -> Iterator[SampledRequest]:
    """One request every seven seconds, three of four from the cache, for longer than a rehearsal takes."""
    opened_at = datetime.now(UTC).replace(microsecond=0)
    for second in range(-3600, 4 * 3600, 7):
        yield SampledRequest(opened_at + timedelta(seconds=second), host, "hit" if second % 4 else "miss")


def main_service(environment: Environment) -> str:
    """The service that a rehearsal releases: it has an image, a host and the database. Raises `InputError`."""
    for name, each in services.previewed(environment).items():
        if "database" in each.needs:
            return name
    raise InputError('services: expected one with a host, an image of its own and needs = ["database"], to release it')


@contextmanager
def opened(
    name: str,
    environment: Environment,
    workspace: Path,
    *,
    without: Collection[Condition] = (),
    authority: Authority | None = None,
    internet: str | None = None,
) -> "Iterator[Account]":
    """An empty account, with simulators of all vendors that a deployment needs. All of them end with the block.

    `internet` is for an account that stays up (`simulators.aws.process.emulator`); `authority` signs its certificates.
    """
    cloudflare, authority = cloudflare_for(environment), authority or Authority()
    instances = environment.redis.instances.values()
    with ExitStack() as stack:
        base_url = stack.enter_context(served(cloudflare))
        upstash = stack.enter_context(upstash_server.served(authority, workspace / "upstash"))
        pagerduty = PagerDuty()
        pagerduty_url = stack.enter_context(pagerduty_served(pagerduty))
        sentry = SentrySimulator(environment.sentry.organization) if environment.sentry else SentrySimulator()
        sentry_url = stack.enter_context(sentry_served(sentry))
        github = github_for(environment)
        github_url = stack.enter_context(github_served(github))
        external = None
        if any(each.external is not None for each in instances):
            external = stack.enter_context(_redis_of_others(authority, workspace / "external"))
        running = stack.enter_context(
            emulator(
                workspace,
                cloudflare=base_url,
                upstash=upstash.url,
                authority=authority,
                without=without,
                internet=internet,
            )
        )
        cdk = CdkCli(environment.aws.account, environment.aws.region, workspace, running.url)
        if Condition.IAM not in without:
            cdk = replace(cdk, access_key=_administrator(cdk))
        yield Account(
            name=name,
            environment=environment,
            cdk=cdk,
            cloudflare=cloudflare,
            cloudflare_url=base_url,
            emulator=running,
            upstash=upstash.simulator,
            external_redis=external,
            pagerduty=pagerduty,
            pagerduty_url=pagerduty_url,
            sentry=sentry,
            sentry_url=sentry_url,
            github=github,
            github_url=github_url,
        )


def _administrator(root: CdkCli) -> tuple[str, str]:
    """Access key of a person with AdministratorAccess."""
    iam = boto3.client("iam", endpoint_url=root.endpoint, **_session_keys(root))
    iam.create_user(UserName=_PERSON)
    iam.attach_user_policy(UserName=_PERSON, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    made = iam.create_access_key(UserName=_PERSON)["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]


def _session_keys(cdk: CdkCli) -> dict[str, str | None]:
    keys = cdk.credentials
    return {
        "aws_access_key_id": keys["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": keys["AWS_SECRET_ACCESS_KEY"],
        "aws_session_token": keys.get("AWS_SESSION_TOKEN"),
        "region_name": keys["AWS_REGION"],
    }


@contextmanager
def _redis_of_others(authority: Authority, directory: Path) -> Iterator[str]:
    """URL of an external Redis. It has Sentinels and TLS, the form that is hardest for clients."""
    certificate = authority.certificate("127.0.0.1")
    with sentinels(directory, password=_PASSWORD, certificate=certificate) as found:
        nodes = tuple(Node(each.address, each.port) for each in found.sentinels)
        yield RedisTarget(form="sentinel", nodes=nodes, tls=True, password=_PASSWORD, master=found.master).url()


@dataclass(frozen=True, kw_only=True)
class Account:
    name: str
    """Name of the environment."""
    environment: Environment
    cdk: CdkCli
    cloudflare: CloudflareSimulator
    cloudflare_url: str
    """Base URL of its API."""
    emulator: Emulator
    upstash: UpstashSimulator
    external_redis: str | None
    """REDIS_URL of the Redis outside of the account, where the environment uses one."""
    pagerduty: PagerDuty
    pagerduty_url: str
    sentry: SentrySimulator
    sentry_url: str
    github: GitHub
    github_url: str
    """Base URL of its API."""

    def prepare(self) -> None:
        """Does a person's manual steps before the first deployment (docs/first-deployment.md)."""
        secrets = {self.environment.cloudflare.token_secret: TOKEN}
        for instance in self.environment.redis.instances.values():
            if instance.upstash is not None:
                secrets[instance.upstash.credentials_secret] = json.dumps({"email": EMAIL, "api_key": API_KEY})
            if instance.external is not None and self.external_redis is not None:
                secrets[instance.external.url_secret] = self.external_redis
        if sentry := self.environment.sentry:
            secrets[sentry.token_secret] = json.dumps({"token": SENTRY_TOKEN, "url": self.sentry_url})
        for route in routes(self.environment.alarms).values():
            if route.webhook_secret is not None:
                secrets[route.webhook_secret] = json.dumps({"routing_key": ROUTING_KEY, "url": self.pagerduty_url})
        for service in self.environment.services:
            if amplify := self.environment.services[service].amplify:
                secrets[amplify.access_token_secret] = "what-stands-for-the-token-of-amplify-here"
            for secret, fields in self._fields_of_secrets(service).items():
                # Each value differs, so that rehearsal.checks.secrets finds it wherever it leaks.
                values = {field: f"stored-{token_hex(8)}" for field in fields}
                secrets[secret] = json.dumps(values) if fields else f"stored-{token_hex(8)}"
        for name, value in secrets.items():
            self.client("secretsmanager").create_secret(Name=name, SecretString=value)
        if not self.environment.delivery.owns_oidc_provider:  # another environment of the account has brought it
            self.client("iam").create_open_id_connect_provider(
                Url="https://token.actions.githubusercontent.com", ClientIDList=["sts.amazonaws.com"]
            )
        (self.emulator.console / "cost-explorer").touch()
        if workspace := self.environment.alarms.slack_workspace:
            (self.emulator.console / f"slack-{workspace}").touch()
        self.client("freetier").upgrade_account_plan(accountPlanType="PAID")
        self._ask_for_what_a_new_account_lacks()

    def _ask_for_what_a_new_account_lacks(self) -> None:
        """Runs the repairs of `infra doctor ENV --fix`, and waits until AWS has granted the quotas."""
        for finding in self._lacks():
            if finding.repair is not None:
                finding.repair()
        give_up = time.monotonic() + _GRANT_SECONDS
        while (lacks := self._lacks()) and time.monotonic() < give_up:
            time.sleep(0.1)
        if lacks:
            raise LookupError(f"after doctor --fix, the account still lacks: {'; '.join(each.what for each in lacks)}")

    def _lacks(self) -> list[Finding]:
        return [*service_linked_roles(self.environment, self), *quotas(self.environment, (), self)]

    @property
    def zone(self) -> Zone:
        return self.cloudflare.world.zones[0]

    @cached_property
    def _session(self) -> boto3.Session:
        session = botocore.session.get_session()
        session.register_component("data_loader", _service_models)
        return boto3.Session(botocore_session=session, **_session_keys(self.cdk))

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def client(self, service: str, region_name: str | None = None) -> Any:
        # Creating a client takes ten times as long as a call.
        name = f"{service} {region_name or ''}"
        if name not in self._clients:
            found = self._session.client(service, endpoint_url=self.cdk.endpoint, region_name=region_name)
            self._clients[name] = found
        return self._clients[name]

    def stack_name(self, stack: str) -> str:
        return stack_name(self.environment.product, self.name, stack.lower())

    def stacks(self) -> dict[str, str]:
        """Status of each of the environment's stacks that exists, by name."""
        prefix = stack_name(self.environment.product, self.name, "")
        pages = self.client("cloudformation").get_paginator("describe_stacks").paginate()
        found = {each["StackName"]: each["StackStatus"] for page in pages for each in page["Stacks"]}
        return {name: status for name, status in sorted(found.items()) if name.startswith(prefix)}

    def resources(self, stack: str, kind: str) -> list[str]:
        """Physical ids of the stack's resources of one type. Raises when the stack does not exist."""
        pages = (
            self.client("cloudformation")
            .get_paginator("list_stack_resources")
            .paginate(StackName=self.stack_name(stack))
        )
        return [
            resource["PhysicalResourceId"]
            for page in pages
            for resource in page["StackResourceSummaries"]
            if resource["ResourceType"] == kind
        ]

    def resource(self, stack: str, kind: str) -> str:
        """Physical id of the stack's only resource of the type. Raises `LookupError` if there are more, or none."""
        found = self.resources(stack, kind)
        if len(found) != 1:
            raise LookupError(f"{len(found)} resources of type {kind} in {stack}, one was expected")
        return found[0]

    def services(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(name, service as ECS describes it) for each service that ECS runs, workers included."""
        for stack in services.released(self.environment):
            for name in services.same_image(self.environment, stack):
                yield name, self.service(name)

    def _fields_of_secrets(self, service: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for secret, field in variables.secrets(self.environment, service).values():
            found.setdefault(secret, []).extend([field] if field else [])
        return found

    @property
    def main(self) -> str:
        return main_service(self.environment)

    def service(self, name: str) -> dict[str, Any]:
        """The service as ECS describes it. Raises `LookupError`."""
        runs = self.environment.services[name.lower()].runs
        stack = self.stack_name(runs or name)
        if runs is None:
            return dict(service_of(self, stack))
        for arn, logical_id in service_arns(self, stack):
            if logical_id.startswith(f"{services.words(name)}Service"):
                return self._service(arn)
        raise LookupError(f"{stack} has no service {name}")

    def _service(self, arn: str) -> dict[str, Any]:
        cluster = self.resource("Platform", "AWS::ECS::Cluster")
        found: dict[str, Any] = self.client("ecs").describe_services(cluster=cluster, services=[arn])["services"][0]
        return found

    def container(self, service: dict[str, Any]) -> dict[str, Any]:
        """The container definition that the service runs."""
        definition = self.client("ecs").describe_task_definition(taskDefinition=service["taskDefinition"])
        return dict(named(definition["taskDefinition"]["containerDefinitions"], APP))
