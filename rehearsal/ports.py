"""Ports for the servers that we start."""

import random
import socket

LOOPBACK = "127.0.0.1"
# Below those that the kernel gives to connections (net.ipv4.ip_local_port_range): a port of those may be somebody's
# between the moment it was found free and the moment the server binds it.
_OURS = range(10_000, 32_000)
_given: set[tuple[str, int]] = set()


def free_port(address: str = LOOPBACK) -> int:
    """One that nobody listens at, and that this process has not been given before."""
    while True:
        port = random.choice(_OURS)
        if (address, port) in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
        _given.add((address, port))
        return port
