"""A function in the VPC that uses one Redis as the tasks do, twice a minute."""

import json
from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra_constructs.function import InVpc, RuntimeFunction
from infra_constructs.redis.instance import RedisInstance


class RedisProbe(Construct):
    """Publishes its results as metrics with the instance's name as a dimension (infra_runtime.redis.monitor)."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        vpc: ec2.IVpc,
        instance: RedisInstance,
        environment: str,
        name: str,
        health_urls: Sequence[str],
        may_evict: bool = True,
        queues: Mapping[str, Sequence[str]] | None = None,
        preview_key_prefix: str | None = None,
    ) -> None:
        """`preview_key_prefix`: also count keys that begin with it, as previews do. A queue is not in a Redis that
        `may_evict`. `queues` are the keys in which jobs of each worker wait: it counts them."""
        super().__init__(scope, id_)
        self._instance = instance
        # As the tasks': what they cannot reach, the probe is not to reach either.
        access = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, description="The probe of Redis", allow_all_outbound=False
        )
        access.add_egress_rule(
            ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "Secrets Manager, and the services' public names"
        )
        instance.allow_from(access, as_="Probe")
        variables = {"URL_SECRET": instance.url_id, "ENVIRONMENT": environment, "INSTANCE": name}
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="redis.monitor",
            description="Pings Redis and writes to it, as the tasks do, and publishes the results",
            # Two rounds take less than a minute; a deployment waits longer for a new server to answer.
            timeout=cdk.Duration.minutes(3),
            environment=variables
            | ({"HEALTH_URLS": ",".join(health_urls)} if health_urls else {})
            | ({"PREVIEW_KEY_PREFIX": preview_key_prefix} if preview_key_prefix else {})
            | ({} if may_evict else {"EVICTION": "false"})
            | ({"QUEUES": json.dumps({name: list(keys) for name, keys in queues.items()})} if queues else {}),
            uses_libraries=True,
            place=InVpc(vpc=vpc, security_group=access),
        )
        instance.url.grant_read(self.handler.role)
        # A round that could not run in its minute does not run later.
        self.handler.function.configure_async_invoke(max_event_age=cdk.Duration.minutes(1), retry_attempts=0)
        self.handler.run_every(
            cdk.Duration.minutes(1), self, "EveryMinute", description="Probes Redis twice, half a minute apart"
        )
        self.handler.run_every(
            cdk.Duration.minutes(5),
            self,
            "Inventory",
            description="Keys and memory of Redis",
            event={"inventory": True},
        )

    def gate(self, scope: Construct, id_: str) -> cdk.CustomResource:
        """A custom resource that succeeds only if REDIS_URL is valid and the published client can enforce limits."""
        gate = self.handler.resource(scope, id_, kind="Custom::RedisGate", properties={"Url": self._instance.url_id})
        # Rules of the network included.
        gate.node.add_dependency(self._instance, self)
        return gate
