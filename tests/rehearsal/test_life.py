"""`make rehearse`, as its user runs it, and what it leaves behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


def rehearse() -> "subprocess.Popen[str]":
    clean = {key: value for key, value in os.environ.items() if key != "CDK_VALIDATION"}
    return subprocess.Popen(
        [sys.executable, "-m", "rehearsal", "production"],
        cwd=ROOT,
        env=clean,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def emulators() -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if "rehearsal.emulator" in " ".join(process.info["cmdline"] or [])
    ]


def test_production_lives_its_whole_life() -> None:
    """Deploys, reads back, deploys nothing, updates, rolls back, refuses to be destroyed, is destroyed."""
    process = rehearse()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "BROKEN" not in output
    assert output.count("kept") >= 20
    assert output.count("CREATE_COMPLETE") == 8
    for told in (
        "No-op deploy: touched nothing",
        "the API now scales to 25 tasks, from 24",
        "UPDATE_ROLLBACK_COMPLETE",
        "A destroy is refused",
        "no stack is left",
        "snapshot is there, bucket is there",
        "not shown here: the emulator has no restore",
    ):
        assert told in output, output
    assert emulators() == []


def test_an_interrupted_rehearsal_leaves_no_process_behind() -> None:
    process = rehearse()
    give_up = time.monotonic() + 90
    while not emulators():
        assert time.monotonic() < give_up, "no emulator was started"
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in output
    assert emulators() == []
    assert not (ROOT / "build" / "rehearsal" / "production" / "tmp").exists()
