"""One service of one environment, as the target of releases."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from config import services
from config.model import Environment
from infra_runtime.contract.names import image_parameter, stack_name
from infra_runtime.release.ledger import Ledger
from infra_runtime.release.preflight import service_of
from ops.errors import InputError
from ops.functions import Clients, ask_as_myself, find, resources


@dataclass(frozen=True)
class ReleaseTarget:
    name: str
    """Name of the environment."""
    environment: Environment
    service: str
    clients: Clients
    sleep: Callable[[float], None] = time.sleep
    """Between two polls of a release that is under way; seconds."""

    def __post_init__(self) -> None:
        known = services.released(self.environment)
        asked_for = self.environment.services.get(self.service)
        if asked_for is not None and asked_for.amplify is not None:
            raise InputError(f"--service {self.service!r}: Amplify builds and releases it with every push")
        if self.service not in known:
            raise InputError(f"--service {self.service!r}: expected one of {', '.join(known)}, those of {self.name}")

    @property
    def stack(self) -> str:
        return self.stack_called(self.service)

    def stack_called(self, name: str) -> str:
        return stack_name(self.environment.product, self.name, name)

    @cached_property
    def ledger(self) -> Ledger:
        (table,) = resources(self.clients, self.stack_called("registry"), "AWS::DynamoDB::Table")
        return Ledger(self.clients.client("dynamodb"), table)

    def ask(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Invokes the release control function. Raises `OperatorError`."""
        stack = self.stack_called("delivery")
        what = f"control of releases of {self.service}"
        function = find(self.clients, stack, "release.control", {"SERVICE": self.service}, what=what)
        answer: dict[str, Any] = ask_as_myself(self.clients, function, event, what=f"{stack}: the {what}")
        return answer

    def described(self) -> Mapping[str, Any]:
        """The service, as ECS describes it."""
        return service_of(self.clients, self.stack)

    def image(self) -> str:
        """The image that the service should run."""
        parameter = image_parameter(self.environment.product, self.name, self.service)
        found: str = self.clients.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
        return found
