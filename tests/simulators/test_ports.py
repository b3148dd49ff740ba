"""Ports and addresses of a rehearsal's servers, on a machine that others use, too."""

import os
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from simulators.ports import LOOPBACK, NothingFree, free_port, own_address

_UNPRIVILEGED_USER = 65534


@pytest.fixture
def taken_everywhere() -> Iterator[int]:
    """A port that another program uses on every address of the machine."""
    with socket.socket() as theirs:
        theirs.bind(("0.0.0.0", free_port()))  # noqa: S104
        theirs.listen()
        yield theirs.getsockname()[1]


def as_a_user(try_: Callable[[], object]) -> str:
    """Name of the exception that `try_` raises without root's rights, or "". Fails when it takes five seconds."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        if os.getuid() == 0:
            os.setuid(_UNPRIVILEGED_USER)
        try:
            try_()
        except Exception as error:
            os.write(writer, type(error).__name__.encode())
        os._exit(0)
    os.close(writer)
    give_up = time.monotonic() + 5
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > give_up:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("still searching after five seconds")
        time.sleep(0.01)
    with os.fdopen(reader) as raised:
        return raised.read()


def test_a_task_without_a_port_has_an_address_for_any_user() -> None:
    assert as_a_user(own_address) == ""
    assert own_address().startswith("127.")


def test_the_search_for_a_privileged_port_ends() -> None:
    # Some containers let everybody have these ports.
    assert as_a_user(lambda: own_address(1)) in ("", "NothingFree")


def test_the_search_for_a_port_that_is_taken_everywhere_ends_and_names_it(taken_everywhere: int) -> None:
    with pytest.raises(NothingFree, match=f"port {taken_everywhere} is taken"):
        own_address(taken_everywhere)


def test_an_address_that_the_machine_lacks_is_named() -> None:
    """On macOS all but 127.0.0.1 are missing; here, an address reserved for documentation."""
    with pytest.raises(NothingFree, match=r"no address 192\.0\.2\.1"):
        free_port("192.0.2.1")


def test_no_port_is_given_twice() -> None:
    assert len({free_port(LOOPBACK) for _ in range(200)}) == 200
