"""Rehearsals as processes of their own, as their users start them."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


def rehearse(environment: str) -> "subprocess.Popen[str]":
    """`make rehearse ENV=…`, validated as for its user, in a process group of its own."""
    clean = {key: value for key, value in os.environ.items() if key != "CDK_VALIDATION"}
    return subprocess.Popen(
        [sys.executable, "-m", "rehearsal", environment],
        cwd=ROOT,
        env=clean | {"PYTHONPATH": f"{ROOT / 'runtime'}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def emulators(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The emulators that this rehearsal has started."""
    return [
        each
        for each in psutil.process_iter(["ppid", "cmdline"])
        if each.info["ppid"] == process.pid and "rehearsal.emulator" in (each.info["cmdline"] or [])
    ]
