"""Forks the Python workers of Lambda functions from a process that has loaded boto3.

MiniStack starts an interpreter for each. Loading boto3 and its first client take four fifths of a worker's processor
time.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime

_context = multiprocessing.get_context("forkserver")


class _Forked:
    """What MiniStack uses of `subprocess.Popen`, with text in three pipes."""

    def __init__(self, command: list[str], *, cwd: str, env: Mapping[str, str], **_: Any) -> None:
        theirs_in, ours_in = _context.Pipe(duplex=False)
        ours_out, theirs_out = _context.Pipe(duplex=False)
        ours_error, theirs_error = _context.Pipe(duplex=False)
        theirs = (theirs_in, theirs_out, theirs_error)
        self._process = _context.Process(target=_work, args=(theirs, command[1], cwd, dict(env)), daemon=True)
        self._process.start()
        for each in theirs:
            each.close()
        self.stdin = _text(ours_in, "w")
        self.stdout = _text(ours_out, "r")
        self.stderr = _text(ours_error, "r")

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired(str(self._process.name), timeout or 0.0)
        return code

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def _text(pipe: Connection, mode: str) -> Any:
    """The pipe as a text file, which owns its descriptor."""
    descriptor = os.dup(pipe.fileno())
    pipe.close()
    return os.fdopen(descriptor, mode, buffering=1)


def _work(pipes: tuple[Connection, ...], script: str, cwd: str, environment: Mapping[str, str]) -> None:
    """Runs in the forked process."""
    for descriptor, pipe in enumerate(pipes):
        os.dup2(pipe.fileno(), descriptor)
        pipe.close()
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - until the process ends
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script)


def install() -> None:
    _context.set_forkserver_preload(["simulators.aws.function_libraries"])

    def start(command: list[str], **options: Any) -> Any:
        python = command[0] == sys.executable
        return _Forked(command, **options) if python else subprocess.Popen(command, **options)

    lambda_runtime.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": start})
