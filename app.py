#!/usr/bin/env python3
"""Composition root: environments, their stages, their stacks, and the order of these. Nothing else."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

# `constructs/` is a source root: as a package it would hide the library of the same name (docs/adr/0001).
sys.path.insert(0, str(Path(__file__).resolve().parent / "constructs"))
# Node 20 works and stays allowed; without this, jsii prints eleven lines about its age in every process.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")

import aws_cdk as cdk  # noqa: E402
from config import Environment, InvalidEnvironments, load  # noqa: E402
from infra_constructs import findings  # noqa: E402
from stacks.api import ApiStack  # noqa: E402
from stacks.data import DataStack  # noqa: E402
from stacks.delivery import DeliveryStack  # noqa: E402
from stacks.frontend import FrontendStack  # noqa: E402
from stacks.network import NetworkStack  # noqa: E402
from stacks.observability import ObservabilityStack  # noqa: E402
from stacks.platform import PlatformStack  # noqa: E402
from stacks.registry import RegistryStack  # noqa: E402


class EnvironmentStage(cdk.Stage):
    """One environment, whole. Each stack is handed what the earlier ones export."""

    def __init__(self, scope: cdk.App, name: str, *, environment: Environment) -> None:
        super().__init__(scope, name)
        network = NetworkStack(self, "Network", environment=environment)
        data = DataStack(self, "Data", environment=environment, network=network.exports)
        registry = RegistryStack(self, "Registry", environment=environment)
        platform = PlatformStack(self, "Platform", environment=environment, network=network.exports)
        api = ApiStack(
            self,
            "Api",
            environment=environment,
            network=network.exports,
            data=data.exports,
            registry=registry.exports,
            platform=platform.exports,
        )
        frontend = FrontendStack(
            self,
            "Frontend",
            environment=environment,
            network=network.exports,
            registry=registry.exports,
            platform=platform.exports,
        )
        services = {"api": api.exports} | ({"frontend": frontend.exports} if frontend.exports else {})
        ObservabilityStack(
            self,
            "Observability",
            environment=environment,
            network=network.exports,
            data=data.exports,
            platform=platform.exports,
            services=services,
        )
        DeliveryStack(self, "Delivery", environment=environment)


def build(app: cdk.App, environments: Mapping[str, Environment]) -> dict[str, EnvironmentStage]:
    """Adds a stage for each environment, and the gate that all of them pass."""
    findings.gate(app)
    return {name: EnvironmentStage(app, name, environment=each) for name, each in environments.items()}


def main() -> int:
    """Exit code 2 when an environment's file is wrong, with every problem of it on stderr."""
    app = cdk.App()
    only = app.node.try_get_context("env")
    try:
        environments = load([only] if only else [])
    except InvalidEnvironments as invalid:
        print(invalid, file=sys.stderr)
        return 2
    build(app, environments)
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
