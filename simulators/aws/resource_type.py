"""The interface of a simulated CloudFormation resource type, and its registration with MiniStack."""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import boto3
from botocore.config import Config
from ministack.core.responses import get_account_id, get_region
from ministack.services.cloudformation import provisioners, stacks

Properties = Mapping[str, Any]
OWN = "emulated-cloudformation"
"""Marks the user agent of AWS's own calls, which are exempt from paging, throttling and delays."""

_calling_back: set[str] = set()
_loop: list[asyncio.AbstractEventLoop] = []


@dataclass(frozen=True)
class Provisioned:
    """Values of `Ref` and `Fn::GetAtt`."""

    physical_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


class ResourceRefused(Exception):
    """AWS would refuse this, too. The message is AWS's error."""


class ResourceType(Protocol):
    """A simulated type. Like CloudFormation's providers, it calls the service's API."""

    name: str

    def create(self, properties: Properties) -> Provisioned: ...

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        """Updates the resource. Another physical id means a replacement; the old resource is deleted afterwards."""
        ...

    def delete(self, physical_id: str, properties: Properties) -> None: ...


def client(service: str) -> Any:
    """A client of the emulator itself, in the account and region of the stack that is being deployed."""
    return _client(service, get_account_id(), get_region(), os.environ["AWS_ENDPOINT_URL"])


@cache  # Making a client takes ten times as long as a call.
def _client(service: str, account: str, region: str, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key="rehearsal",
        config=Config(user_agent_extra=OWN),
    )


def tags_of(kind: str, properties: Properties) -> list[dict[str, Any]]:
    """`TagSpecifications` of the EC2 API for a resource's `Tags`."""
    tags = properties.get("Tags") or []
    return [{"ResourceType": kind, "Tags": list(tags)}] if tags else []


def changed(old: Properties, new: Properties) -> bool:
    """Whether anything but the tags changes."""
    return any(old.get(key) != new.get(key) for key in {*old, *new} - {"Tags"})


def register(resource_type: ResourceType) -> None:
    """Makes MiniStack use the type. Raises when MiniStack has one of its own."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> tuple[str, dict[str, Any]]:
        made = resource_type.create(properties)
        return made.physical_id, dict(made.attributes)

    def update(physical_id: str, old: Properties, new: Properties, stack_name: str) -> tuple[str, dict[str, Any]]:
        made = resource_type.update(physical_id, old, new)
        return made.physical_id, dict(made.attributes)

    own = provisioners._RESOURCE_HANDLERS.get(resource_type.name, {})
    if own:
        raise RuntimeError(f"MiniStack has learnt {resource_type.name}: delete ours, or wrap it with `extend`")
    provisioners._RESOURCE_HANDLERS[resource_type.name] = {
        "create": create,
        "update": update,
        "delete": resource_type.delete,
    }
    _calling_back.add(resource_type.name)


def extend(name: str, **replacements: Any) -> Mapping[str, Any]:
    """Replaces some of the functions MiniStack has for a type; returns the original ones, to call from these."""
    own = dict(provisioners._RESOURCE_HANDLERS[name])
    provisioners._RESOURCE_HANDLERS[name] = {**own, **replacements}
    _calling_back.add(name)
    return {key: _on_the_loop(function) if callable(function) else function for key, function in own.items()}


def complete(name: str, afterwards: Callable[[str, dict[str, Any]], None]) -> None:
    """Calls `afterwards(physical_id, properties)` when MiniStack has created or updated a resource of the type."""

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        physical_id, attributes = own["create"](logical_id, properties, stack_name)
        afterwards(physical_id, properties)
        return physical_id, attributes

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> tuple[str, dict[str, Any]]:
        physical_id, attributes = own["update"](physical_id, old, new, *rest)
        afterwards(physical_id, new)
        return physical_id, attributes

    own = extend(name, create=create, update=update)


def run_types_on_threads() -> None:
    """Runs our types on separate threads: they call the emulator, and would deadlock on its event loop.

    MiniStack's own types stay on its event loop, one after the other, as they are not made for threads.
    """
    own = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda name: name in _calling_back or own(name)


def remember_the_loop() -> None:
    """Stores MiniStack's event loop. Call it on that loop, before any stack is deployed."""
    _loop[:] = [asyncio.get_running_loop()]


def _on_the_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """One of MiniStack's own functions, to be called from one of our threads, in the account and region of that."""

    async def run(*arguments: Any) -> Any:
        return function(*arguments)

    return lambda *arguments: asyncio.run_coroutine_threadsafe(run(*arguments), _loop[-1]).result()
