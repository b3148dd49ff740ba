"""The provider's own code against the simulator, with a clock that does not wait."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from infra_runtime.cloudflare.api import Api, new_pace
from infra_runtime.cloudflare.provider import provide
from infra_runtime.contract.secret_values import Secrets
from infra_runtime.custom_resource import Request, Result
from infra_runtime.invocations import Invocation
from infra_runtime.vendor_api import Clock
from rehearsal.state_store import InMemoryStateStore
from simulators.cloudflare.contract import Contract
from simulators.cloudflare.foreign import foreign_objects, settle
from simulators.cloudflare.server import in_process
from simulators.cloudflare.simulator import CloudflareSimulator
from simulators.cloudflare.world import World, Zone

TOKEN = "t0ken-that-nobody-may-ever-see-0123456789"
_CONTRACT = Contract()


class Time:
    """A clock that advances only through `sleep`."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.seconds, self.sleep)


class FakeSecretsManager:
    class exceptions:  # noqa: N801  (boto3's name)
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def get_secret_value(self, SecretId: str) -> dict[str, str]:  # noqa: N803
        if SecretId not in self.values:
            raise self.exceptions.ResourceNotFoundException(SecretId)
        return {"SecretString": self.values[SecretId]}


@dataclass
class Edge:
    """A zone with objects of others, and the provider."""

    world: World
    simulator: CloudflareSimulator
    http: httpx.Client
    time: Time = field(default_factory=Time)
    store: InMemoryStateStore = field(default_factory=InMemoryStateStore)
    secrets: dict[str, str] = field(default_factory=dict)
    lambda_seconds: float = 600
    base_url: str = "https://api.test/client/v4"

    @property
    def zone(self) -> Zone:
        return self.world.zones[0]

    def api(self) -> Api:
        return Api(
            token=TOKEN,
            deadline=self.time.seconds + self.lambda_seconds,
            base_url=self.base_url,
            clock=self.time.clock,
            http=self.http,
            pace=new_pace(self.time.clock),
            redact=Secrets(FakeSecretsManager({}), {TOKEN}).redact,
        )

    def ask(self, kind: Any, document: dict[str, Any], physical_id: str | None = None) -> Result:
        secrets = Secrets(FakeSecretsManager(self.secrets), {TOKEN})
        request = Request(kind=kind, properties={"Document": json.dumps(document)}, physical_id=physical_id)
        return provide(request, api=self.api(), secrets=secrets, store=self.store)

    def over_invocations(
        self, asked: list[Mapping[str, Any]], invoke: Callable[[Api, Invocation], Result | None]
    ) -> Result:
        """Invokes the function as Lambda does: again as long as each invocation requests the next one in `asked`."""
        event: Mapping[str, Any] = {}
        while True:
            now = self.time.seconds
            invocation = Invocation.of(event, now=now, deadline=now + self.lambda_seconds)
            if result := invoke(replace(self.api(), deadline=invocation.deadline), invocation):
                return result
            event = asked[-1]

    def writes(self, job: Callable[[], object]) -> list[str]:
        """The write requests that `work` sends."""
        before = len(self.simulator.calls)
        job()
        return [f"{call.method} {call.path}" for call in self.simulator.calls[before:] if call.is_write]

    def foreign(self) -> dict[str, Any]:
        return foreign_objects(self.world, owner="production")


def new_edge(http: Callable[[CloudflareSimulator], httpx.Client] = in_process, **zone: Any) -> Edge:
    world = World([Zone("example.com", **zone)], tokens={TOKEN: "active"})
    settle(world)
    passing = Time()
    simulator = CloudflareSimulator(world, contract=_CONTRACT, now=lambda: passing.seconds)
    return Edge(world, simulator, http(simulator), passing)


@pytest.fixture
def edge() -> Iterator[Edge]:
    made = new_edge()
    yield made
    assert made.simulator.violations == []
