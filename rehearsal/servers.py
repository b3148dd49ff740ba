"""Servers of the rehearsed account, which are processes of this machine: suspends and resumes them."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

import psutil

Endpoint = tuple[str, int | None]
"""Address and port; None for any port."""


def listening(name: str, endpoints: Collection[Endpoint]) -> list[psutil.Process]:
    """Processes of that name that listen on one of the endpoints, and their children.

    Only descendants of this process: other accounts on the machine are not ours.
    """
    found: list[psutil.Process] = []
    for process in psutil.Process().children(recursive=True):
        # Servers of other tests may end in the meantime.
        with suppress(psutil.Error):
            if process.name() == name and _listens(process, endpoints):
                found += [process, *process.children(recursive=True)]
    return found


def _listens(process: psutil.Process, endpoints: Collection[Endpoint]) -> bool:
    return any(
        each.status == psutil.CONN_LISTEN and {(each.laddr.ip, each.laddr.port), (each.laddr.ip, None)} & {*endpoints}
        for each in process.net_connections("tcp")
    )


def suspend(processes: Collection[psutil.Process]) -> None:
    """Suspends the processes: they still accept connections, but do not answer."""
    for process in processes:
        process.suspend()


def resume(processes: Collection[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


@contextmanager
def suspended(processes: Collection[psutil.Process]) -> Iterator[None]:
    """Suspends the processes during the block."""
    suspend(processes)
    try:
        yield
    finally:
        resume(processes)
