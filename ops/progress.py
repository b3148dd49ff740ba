"""Progress on standard error: what a command waits for, once that takes longer than two seconds."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ops.console import Console

AFTER_SECONDS = 2.0
_one_at_a_time = threading.Lock()


class _Wanted:
    """Whether to show progress. Only `./infra` does: a rehearsal calls the same functions and prints its own."""

    by_this_process = False


def show() -> None:
    """Turns progress on for this process."""
    _Wanted.by_this_process = True


@contextmanager
def working(what: str) -> Iterator[None]:
    """`what` as in "waits for …". A spinner in a terminal, otherwise one line. Print nothing in this block.

    Inside of another one, or beside it in another thread, it shows nothing.
    """
    if not _Wanted.by_this_process or not _one_at_a_time.acquire(blocking=False):
        yield
        return
    try:
        if sys.stderr.isatty():
            with Console(stderr=True).status(what):
                yield
        else:
            later = threading.Timer(AFTER_SECONDS, lambda: print(f"{what} …", file=sys.stderr))  # noqa: T201
            later.daemon = True
            later.start()
            try:
                yield
            finally:
                later.cancel()
    finally:
        _one_at_a_time.release()
