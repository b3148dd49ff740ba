"""What a check may use: the environment's account, zone and names, a visitor from outside, a way to clean up."""

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import httpx

from config import services
from config.model import Environment
from infra_runtime.contract.names import stack_name
from infra_runtime.release.preflight import service_of
from infra_runtime.vendor_api import Clock
from ops.edge.zone import EdgeOf
from ops.functions import Clients, resources
from ops.verify.recording import Recording

_CONNECT_SECONDS = 5.0


class Refuted(Exception):
    """The assumption does not hold; the message says what was found instead."""


class NotHere(Exception):
    """The environment's file excludes what the check is about; the message says which key."""


def require(holds: object, otherwise: str) -> None:
    """Raises `Refuted` with what was found."""
    if not holds:
        raise Refuted(otherwise)


class PublicVisitor(Protocol):
    """A client on the internet without credentials."""

    def get(self, url: str) -> httpx.Response:
        """One GET, redirects not followed. Raises `httpx.HTTPError`."""

    def connects(self, host: str, port: int) -> bool:
        """Whether a TCP connection opens within five seconds."""


@dataclass(frozen=True)
class Internet:
    """From this machine."""

    recording: Recording

    def get(self, url: str) -> httpx.Response:
        with httpx.Client(timeout=20.0, headers={"User-Agent": "infra-verify/1"}) as http:
            answer = http.get(url)
        self.recording.http("GET", url, answer)
        return answer

    def connects(self, host: str, port: int) -> bool:
        try:
            socket.create_connection((host, port), _CONNECT_SECONDS).close()
        except OSError:
            return False
        return True


@dataclass(frozen=True)
class Live:
    """One check's view. `cleanup` is run when the check has ended, however it ends."""

    name: str
    environment: Environment
    session: Clients
    edge: EdgeOf
    visitor: PublicVisitor
    identity: str
    """Id of this run: part of every name that a check makes."""
    cleanup: ExitStack = field(repr=False)
    clock: Clock = field(default_factory=Clock)

    def client(self, service: str) -> Any:
        return self.session.client(service)

    def stack(self, name: str) -> str:
        return stack_name(self.environment.product, self.name, name)

    def resources(self, stack: str, kind: str) -> list[str]:
        """Physical ids."""
        return resources(self.session, self.stack(stack), kind)

    @cached_property
    def service(self) -> Mapping[str, Any]:
        """One behind the load balancer, as ECS describes it."""
        return service_of(self, self.stack(self.load_balanced))

    @property
    def load_balanced(self) -> str:
        """The first service behind the load balancer that has its own image."""
        return next(iter(services.previewed(self.environment)))

    def wait_for(self, what: str, seconds: float, poll: Callable[[], Any], *, every: float = 5.0) -> Any:
        """The first true answer of `poll`. Raises `Refuted` after that many seconds."""
        give_up = self.clock.now() + seconds
        while True:
            if found := poll():
                return found
            require(self.clock.now() < give_up, f"{what}: not within {seconds:.0f} s")
            self.clock.sleep(every)

    @property
    def bucket(self) -> Mapping[str, str]:
        return {"Bucket": self.environment.media.bucket}


def identity() -> str:
    return f"verify-{int(time.time())}"
