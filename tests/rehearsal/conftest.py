"""Rehearsals as processes of their own, as their users start them."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


def rehearse(environment: str) -> "subprocess.Popen[str]":
    """`make rehearse ENV=…`, validated as for its user, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "rehearsal", environment],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "CDK_VALIDATION"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def is_alive(process: psutil.Process) -> bool:
    """Whether the process runs. A zombie does not: it only waits for its parent to read its exit code."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two
        return False


def below(process: "subprocess.Popen[str]") -> dict[psutil.Process, str]:
    """Every process that this rehearsal has started and that still runs, with its name."""
    found = {}
    for each in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found[each] = each.name()
    return found
