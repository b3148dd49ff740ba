"""Addresses and ports for the servers that we start."""

import errno
import random
import socket

LOOPBACK = "127.0.0.1"
# Below the ephemeral ports (net.ipv4.ip_local_port_range): the kernel may give one of those to a connection between
# the moment it was found free and the moment the server binds it.
_OURS = range(10_000, 32_000)
_TRIES = 100
_given: set[tuple[str, int]] = set()


class NothingFree(Exception):
    """No server can listen here; the message says why."""


def free_port(address: str = LOOPBACK) -> int:
    """A port on which no process listens, and that this function has not returned before. Raises `NothingFree`."""
    for _ in range(_TRIES):
        port = random.choice(_OURS)
        if (address, port) not in _given and _can_bind(address, port):
            _given.add((address, port))
            return port
    raise NothingFree(f"{address}: none of {_TRIES} ports between {_OURS.start} and {_OURS.stop} is free")


def is_free(port: int) -> bool:
    return _can_bind(LOOPBACK, port)


def own_address(port: int = 0) -> str:
    """An address in 127.0.0.0/8 on which this TCP port is free, so that a server has its own host.

    Without a port, the address is for a process that listens nowhere. Raises `NothingFree`.
    """
    for _ in range(_TRIES):
        address = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
        if _can_bind(address, port):
            return address
    raise NothingFree(f"port {port} is taken on each of {_TRIES} addresses in 127.0.0.0/8")


def _can_bind(address: str, port: int) -> bool:
    """Whether the port is free. Raises `NothingFree` where no other address or port would help."""
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except PermissionError:
            raise NothingFree(
                f"port {port} is privileged: only root may listen below net.ipv4.ip_unprivileged_port_start"
            ) from None
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise NothingFree(
                    f"this machine has no address {address}: Linux has all of 127.0.0.0/8, macOS only 127.0.0.1"
                ) from None
            return False
        return True
