"""What every stack of an environment has in common."""

import re

import aws_cdk as cdk
import jsii

from config import Environment
from infra_constructs.alarms.alarm import link_runbooks
from infra_constructs.function import report_errors
from infra_constructs.state_store import StateStore
from infra_runtime.contract.names import stack_name


class EnvironmentStack(cdk.Stack):
    """A stack in the account, region and zones of its environment, found under `<product>-<environment>-<stack>`."""

    def __init__(
        self,
        scope: cdk.Stage,
        id_: str,
        *,
        environment: Environment,
        description: str,
        protected: bool = False,
        called: str | None = None,
    ) -> None:
        """`called` is the last part of the stack's name; default: the id in lower case."""
        # Before super(): the base class may read the zones.
        self._zones = list(environment.network.availability_zones)
        self.product = environment.product
        self.environment_name = scope.stage_name
        super().__init__(
            scope,
            id_,
            env=cdk.Environment(account=environment.aws.account, region=environment.aws.region),
            # A fixed name: the deployed stack is found even after constructs were moved in the code.
            stack_name=self.stack_called(called or id_.lower()),
            description=description,
            termination_protection=protected,
            # Tags of the stack: CloudFormation passes them on to nearly every resource that can have tags.
            tags={"product": self.product, "environment": self.environment_name},
        )
        # Without the ids that only tokens contain (config.model.Delivery).
        link_runbooks(self, repository=re.sub(r"@\d+", "", environment.delivery.repository))
        if environment.sentry is not None:
            report_errors(self, dsn=environment.sentry.infrastructure.dsn, environment=self.environment_name)

    def stack_called(self, name: str) -> str:
        """CloudFormation's name of one of the environment's stacks."""
        return stack_name(self.product, self.environment_name, name)

    @property
    def edge_store(self) -> StateStore:
        """State of the zone that functions of several stacks share."""
        return StateStore(product=self.product, environment=self.environment_name, about="cloudflare")

    @property
    def redis_store(self) -> StateStore:
        """State of the databases at Upstash."""
        return StateStore(product=self.product, environment=self.environment_name, about="redis")

    @property
    @jsii.member(jsii_name="availabilityZones")
    def availability_zones(self) -> list[str]:
        """The zones in the environment's file: a lookup would need credentials at synthesis."""
        return self._zones
