"""The rehearsed account, looked at through boto3 as its owner would."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from config import Environment
from rehearsal.cdk_cli import CdkCli
from rehearsal.cloudflare.foreign import settle
from rehearsal.cloudflare.server import served
from rehearsal.cloudflare.simulator import Simulator
from rehearsal.cloudflare.world import World, Zone
from rehearsal.emulator_process import Emulator, emulator
from rehearsal.redis.authority import Authority

TOKEN = "what-stands-for-a-cloudflare-token-here"  # noqa: S105


def cloudflare_for(environment: Environment) -> Simulator:
    """A zone that others live in already, on the plan that the environment says."""
    world = World([Zone(environment.domains.zone, environment.cloudflare.plan)], tokens={TOKEN: "active"})
    settle(world)
    return Simulator(world)


@contextmanager
def opened(name: str, environment: Environment, workspace: Path) -> "Iterator[Account]":
    """An empty account, and everybody outside of AWS that a deployment speaks to. All end with the block."""
    cloudflare, authority = cloudflare_for(environment), Authority()
    with (
        served(cloudflare) as base_url,
        emulator(workspace, cloudflare=base_url, authority=authority) as running,
    ):
        cdk = CdkCli(environment.aws.account, environment.aws.region, workspace, running.url)
        yield Account(name, environment, cdk, cloudflare, base_url, running)


@dataclass(frozen=True)
class Account:
    name: str
    """Of the environment."""
    environment: Environment
    cdk: CdkCli
    cloudflare: Simulator
    cloudflare_url: str
    """Base URL of its API."""
    emulator: Emulator

    def prepare(self) -> None:
        """What a person puts into the account before the first deployment (README.md)."""
        secrets = self.client("secretsmanager")
        secrets.create_secret(Name=self.environment.cloudflare.token_secret, SecretString=TOKEN)
        if amplify := self.environment.frontend.amplify:
            secrets.create_secret(Name=amplify.access_token_secret, SecretString="what stands for a GitHub token here")

    @property
    def zone(self) -> Zone:
        return self.cloudflare.world.zones[0]

    @cached_property
    def _session(self) -> boto3.Session:
        keys = self.cdk.credentials
        return boto3.Session(
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            region_name=keys["AWS_REGION"],
        )

    def client(self, service: str) -> Any:
        return self._session.client(service, endpoint_url=self.cdk.endpoint)

    @cached_property
    def watching(self) -> Any:
        """A CloudFormation client that is answered at once (see `rehearsal.emulator.patience`)."""
        client = self.client("cloudformation")
        client.meta.events.register("before-call", lambda params, **_: params["headers"].update({"x-watching": "yes"}))
        return client

    def stack_name(self, stack: str) -> str:
        return f"{self.environment.product}-{self.name}-{stack.lower()}"

    def stacks(self) -> dict[str, str]:
        """Status of each of the environment's stacks that exists, by name."""
        prefix = f"{self.environment.product}-{self.name}-"
        found = self.watching.describe_stacks()["Stacks"]
        return {each["StackName"]: each["StackStatus"] for each in found if each["StackName"].startswith(prefix)}

    def resources(self, stack: str, kind: str) -> list[str]:
        """Physical ids of the stack's resources of one type. Raises when the stack does not exist."""
        pages = self.watching.get_paginator("list_stack_resources").paginate(StackName=self.stack_name(stack))
        return [
            resource["PhysicalResourceId"]
            for page in pages
            for resource in page["StackResourceSummaries"]
            if resource["ResourceType"] == kind
        ]

    def resource(self, stack: str, kind: str) -> str:
        """The only one of its type. Raises `LookupError` when there are more, or none."""
        found = self.resources(stack, kind)
        if len(found) != 1:
            raise LookupError(f"{len(found)} resources of type {kind} in {stack}, one was expected")
        return found[0]

    def services(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(stack, service as ECS describes it) for each of the environment's services."""
        ecs = self.client("ecs")
        cluster = self.resource("Platform", "AWS::ECS::Cluster")
        for stack in ("Api", "Frontend"):
            for arn in self.resources(stack, "AWS::ECS::Service"):
                yield stack, ecs.describe_services(cluster=cluster, services=[arn])["services"][0]

    def container(self, service: dict[str, Any]) -> dict[str, Any]:
        """The container definition that the service runs."""
        definition = self.client("ecs").describe_task_definition(taskDefinition=service["taskDefinition"])
        found: dict[str, Any] = definition["taskDefinition"]["containerDefinitions"][0]
        return found
