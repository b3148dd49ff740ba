#!/usr/bin/env python3
"""Composition root: environments, their stages, their stacks, and the order of these. Nothing else."""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

# Source roots: as a package, `constructs/` would hide the library of the same name (docs/adr/0001).
sys.path[:0] = [str(Path(__file__).resolve().parent / root) for root in ("constructs", "runtime")]
# Node 20 works and stays allowed; without this, jsii prints eleven lines about its age in every process.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")
# CDK writes JavaScript stack traces into the assembly, with the name of a temporary folder in them: two syntheses would
# differ, and take longer. One thread in the background instead of four: a validated synthesis uses a quarter less of
# the processors (docs/performance.md).
os.environ["NODE_OPTIONS"] = f"{os.environ.get('NODE_OPTIONS', '')} --stack-trace-limit=0 --v8-pool-size=1".strip()

if __name__ == "__main__":
    # A process of seconds: collections free nothing worth their time, a twenty-fifth of the synthesis.
    gc.disable()
    # The import of aws_cdk unpacks two megabytes, which `os._exit` would leave behind.
    temporary = tempfile.mkdtemp()
    os.environ["TMPDIR"] = tempfile.tempdir = temporary
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)

import aws_cdk as cdk

from config import ENVIRONMENTS, Environment, InvalidEnvironments, load
from config.previews import slots
from config.services import ON_AMPLIFY, words
from infra_constructs import findings
from stacks.amplify_site import AmplifySiteExports, AmplifySiteStack
from stacks.data import DataStack
from stacks.delivery import DeliveryStack
from stacks.edge import EdgeStack
from stacks.network import NetworkStack
from stacks.observability import ObservabilityStack
from stacks.platform import PlatformStack
from stacks.preview import PreviewStack
from stacks.redis import RedisStack
from stacks.registry import RegistryStack
from stacks.service import ServiceContext, ServiceExports, ServiceStack


class EnvironmentStage(cdk.Stage):
    """One environment, whole. Each stack is handed what the earlier ones export."""

    def __init__(self, scope: cdk.App, name: str, *, environment: Environment) -> None:
        super().__init__(scope, name)
        network = NetworkStack(self, "Network", environment=environment)
        data = DataStack(self, "Data", environment=environment, network=network.exports)
        registry = RegistryStack(self, "Registry", environment=environment)
        platform = PlatformStack(self, "Platform", environment=environment, network=network.exports)
        redis = RedisStack(
            self,
            "Redis",
            environment=environment,
            network=network.exports,
            data=data.exports,
            platform=platform.exports,
        )
        context = ServiceContext(
            network=network.exports,
            data=data.exports,
            registry=registry.exports,
            platform=platform.exports,
            redis=redis.exports,
        )
        services: dict[str, ServiceExports] = {}
        on_amplify: dict[str, AmplifySiteExports] = {}
        for service, own in environment.services.items():
            id_ = words(service)
            if own.runs is not None:
                continue  # in the stack of the service whose image it runs
            if own.amplify is not None:
                site = AmplifySiteStack(
                    self,
                    words(f"{service}{ON_AMPLIFY}"),
                    environment=environment,
                    service=service,
                    data=data.exports,
                    platform=platform.exports,
                )
                on_amplify[service] = site.exports
                continue
            stack = ServiceStack(self, id_, environment=environment, service=service, context=context)
            # Not only when it takes an export: the gate comes before the tasks.
            stack.add_stack_dependency(redis)
            services |= stack.exports
        for slot in slots(environment):
            PreviewStack(
                self, f"Preview{slot}", environment=environment, slot=slot, context=context
            ).add_stack_dependency(redis)
        edge = EdgeStack(
            self, "Edge", environment=environment, data=data.exports, platform=platform.exports, on_amplify=on_amplify
        )
        ObservabilityStack(
            self,
            "Observability",
            environment=environment,
            network=network.exports,
            data=data.exports,
            registry=registry.exports,
            platform=platform.exports,
            services=services,
            edge=edge.exports,
        )
        DeliveryStack(
            self,
            "Delivery",
            environment=environment,
            data=data.exports,
            platform=platform.exports,
            registry=registry.exports,
            services=services,
        )


def build(app: cdk.App, environments: Mapping[str, Environment]) -> dict[str, EnvironmentStage]:
    """Adds a stage for each environment."""
    return {name: EnvironmentStage(app, name, environment=each) for name, each in environments.items()}


def main() -> int:
    """Exit code 2 when an environment's file is wrong, 1 when a template is; with every problem on stderr."""
    app = cdk.App()
    only = app.node.try_get_context("env")
    directory = Path(app.node.try_get_context("environments") or ENVIRONMENTS)
    try:
        # `./infra` compares what is deployed with the code, and deploys nothing (ops/templates.py).
        is_deployed = bool(app.node.try_get_context("deployed"))
        environments = load([only] if only else [], directory=directory, is_deployed=is_deployed)
    except InvalidEnvironments as invalid:
        print(invalid, file=sys.stderr)
        return 2
    build(app, environments)
    if os.environ.get("CDK_VALIDATION") == "false":  # CDK's own switch, for work in progress
        app.synth()
        return 0
    # A quarter of a second that unvalidated syntheses save.
    from template_policies.plugin import Policies  # noqa: PLC0415

    findings.gate(app, Policies(environments))
    left = findings.unacknowledged(Path(app.synth().directory))
    print("\n".join(left), end="", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    shutil.rmtree(temporary, ignore_errors=True)
    # Without waiting for jsii's Node.js to take itself down, a third of a second or more (docs/performance.md).
    os._exit(code)
