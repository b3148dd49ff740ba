"""Clients with every option spelled out, and no wait that is not bounded."""

import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra_runtime.contract.redis_url import Node, RedisTarget
from infra_runtime.redis.failure_reasons import Reason, UnusableRedis

# A ping that takes longer than a second is as good as none: the application's own limit is 100 ms.
COMMAND_SECONDS = 1.0
CONNECT_SECONDS = 1.0
RESOLVE_SECONDS = 2.0

_T = TypeVar("_T")


def within(seconds: float, work: Callable[[], _T]) -> _T:
    """Returns or raises what `work` does. Raises `TimeoutError` when it takes longer, and lets its thread go on.

    For DNS lookups, which have no time-out of their own.
    """
    done: list[tuple[_T | None, BaseException | None]] = []

    def run() -> None:
        try:
            done.append((work(), None))
        except BaseException as error:  # It belongs to the thread that waits.
            done.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not done:
        raise TimeoutError(f"not done within {seconds:g} s")
    result, error = done[0]
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def resolve(node: Node) -> None:
    """Raises `UnusableRedis`: a name server may take longer to say no than a round has."""
    try:
        within(RESOLVE_SECONDS, lambda: socket.getaddrinfo(node.host, node.port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        raise UnusableRedis(Reason.DNS) from error


def _options(target: RedisTarget) -> dict[str, Any]:
    return {
        "socket_timeout": COMMAND_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "decode_responses": True,
        # Values of others need not be text.
        "encoding_errors": "replace",
        # One attempt, so that each failure is counted and none is hidden.
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        # Trusts the system's CAs, or those in SSL_CERT_FILE, as every program does.
        **({"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True} if target.tls else {}),
    }


def data_node(target: RedisTarget, node: Node) -> Any:
    """A `redis.Redis`, whose own types mix sync and async results. Nothing is sent before the first command."""
    return redis.Redis(
        host=node.host,
        port=node.port,
        db=target.database,
        # As docs/redis-client.mjs does.
        username=None if target.username == "default" else target.username,
        password=target.password,
        **_options(target),
    )


def sentinel_node(target: RedisTarget, node: Node) -> Any:
    """Like `data_node`, with the Sentinels' own login."""
    return redis.Redis(
        host=node.host,
        port=node.port,
        username=target.sentinel_username,
        password=target.sentinel_password,
        **_options(target),
    )
