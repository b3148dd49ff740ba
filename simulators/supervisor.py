"""Nothing outlives a rehearsal: no process and no temporary file, however it ends.

The process that a person starts supervises the worker, which does the work. It ends everything when the work is over,
at Ctrl-C, SIGTERM or SIGHUP, and when the worker is killed. If the supervisor is killed, the worker notices
and does the same. On macOS, where orphans cannot be adopted, those of a worker that was killed may remain.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLITE_SECONDS = 1.5
_KILLED_SECONDS = 2.0
_POLL_SECONDS = 0.05
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def supervised(work: Callable[[], int]) -> int:
    """Runs `work` in a child process. Returns its exit code; 128 plus the signal's number if a signal ended it."""
    received: list[int] = []
    # An ignored signal stays ignored: `nohup make rehearse &` survives its shell.
    handled = [each for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    for each in handled:
        signal.signal(each, lambda number, _: received.append(number))
    # A short path that other users may enter: PostgreSQL puts its socket there, as a user of its own where we are root.
    base = "/tmp" if os.access("/tmp", os.W_OK) else None  # noqa: S108
    folder = Path(tempfile.mkdtemp(prefix="rehearsal-", dir=base))
    folder.chmod(0o711)
    reader, writer = os.pipe()
    parent, has_make = os.getppid(), "MAKELEVEL" in os.environ
    _adopt_orphans()
    sys.stdout.flush()
    worker = os.fork()
    if worker == 0:
        os.close(writer)
        for each in handled:
            signal.signal(each, signal.SIG_DFL)
        _become_worker(reader, folder)
        return work()
    os.close(reader)
    code = None
    try:
        while code is None and not received:
            ended, status = os.waitpid(worker, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
            elif has_make and os.getppid() != parent:
                received.append(signal.SIGHUP)  # `make` was killed.
            time.sleep(_POLL_SECONDS)
    finally:
        _clean_up(folder)
    if code is None:
        sys.stderr.write(f"\nended by {signal.Signals(received[0]).name}\n")
        return 128 + received[0]
    return code if code >= 0 else 128 - code


def _become_worker(reader: int, folder: Path) -> None:
    os.setsid()  # Only the supervisor gets Ctrl-C.
    _adopt_orphans()
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)

    def watch() -> None:
        os.read(reader, 1)  # Returns when the supervisor has ended, which closes its end of the pipe.
        _clean_up(folder)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _adopt_orphans() -> None:
    """A process below us whose parent ends becomes our child, not that of init."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _clean_up(folder: Path) -> None:
    if threading.current_thread() is threading.main_thread():
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
    end_below()
    shutil.rmtree(folder, ignore_errors=True)


def end_below() -> None:
    """Ends every process below this one, and returns when there are none."""
    _end(lambda: _alive(psutil.Process().children(recursive=True)))


def end_tree(pid: int) -> None:
    """Ends a process and everything below it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        known = {root, *root.children(recursive=True)}
        _end(lambda: _alive(known))


def _end(alive: Callable[[], set[psutil.Process]]) -> None:
    """SIGTERM to all, SIGKILL to those that remain."""
    for seconds, send in ((_POLITE_SECONDS, psutil.Process.terminate), (_KILLED_SECONDS, psutil.Process.kill)):
        give_up, signalled = time.monotonic() + seconds, set[psutil.Process]()
        while (left := alive()) and time.monotonic() < give_up:
            for each in left - signalled:
                with contextlib.suppress(psutil.Error):
                    send(each)
            signalled |= left
            time.sleep(_POLL_SECONDS)


def _alive(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    """Processes that still run; our own children that have ended are reaped."""
    found = set()
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if each.status() != psutil.STATUS_ZOMBIE:
                found.add(each)
            elif each.ppid() == os.getpid():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(each.pid, os.WNOHANG)
    return found
