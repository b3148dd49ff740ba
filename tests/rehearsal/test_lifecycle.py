"""`make rehearse`, started twice and interrupted."""

import os
import signal
import time
from pathlib import Path

import psutil

from tests.rehearsal.conftest import below, is_alive, rehearse


def supervisors_folder(worker: psutil.Process) -> Path:
    # What the worker has adopted and not yet waited for has no command line any more.
    alive = [each for each in worker.children() if is_alive(each)]
    (emulator,) = [each for each in alive if "simulators.aws" in each.cmdline()]
    return Path(emulator.environ()["TMPDIR"]).parent


def test_a_second_rehearsal_stays_away_and_an_interrupted_one_leaves_nothing_behind() -> None:
    """It is interrupted during a deployment: functions, tasks, servers and the CDK CLI run."""
    process = rehearse("dev")
    give_up = time.monotonic() + 300
    wanted = {"postgres", "redis-server", "nginx", "node"}
    while not wanted <= set((running := below(process)).values()):
        assert time.monotonic() < give_up, f"only {set(running.values())} run"
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    second = rehearse("dev")
    refused, _ = second.communicate(timeout=60)
    assert (second.returncode, "Traceback" in refused) == (2, False)
    (worker,) = psutil.Process(process.pid).children()
    assert f"dev is being rehearsed in this clone by process {worker.pid}" in refused
    folder = supervisors_folder(worker)
    assert folder.exists()
    running = below(process)
    os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=5)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in output
    assert [name for each, name in running.items() if is_alive(each)] == []
    assert not folder.exists()
