"""One rehearsal of an environment at a time in a clone: rehearsals share build/rehearsal/NAME."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AlreadyRunning(Exception):
    """Another rehearsal of the environment runs in this clone; the message names its process."""


@contextmanager
def locked(name: str, *, folder: Path) -> Iterator[None]:
    """Holds the lock during the block; it ends with this process at the latest. Raises `AlreadyRunning`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.lock"
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunning(
                f"{name} is being rehearsed in this clone by process {lock.read().strip()}: "
                "wait for it, or rehearse in another clone"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
