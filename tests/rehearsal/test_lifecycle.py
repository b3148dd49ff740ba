"""`make rehearse`, as its user runs it, and what it leaves behind."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil

from tests.rehearsal.conftest import below, is_alive, rehearse
from tests.templates import plain

ROOT = Path(__file__).resolve().parents[2]


def templates(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.name: plain(json.loads(path.read_text())) for path in folder.glob("*.template.json")}


def guardians_folder(worker: psutil.Process) -> Path:
    # What the worker has adopted and not yet waited for has no command line any more.
    alive = [each for each in worker.children() if is_alive(each)]
    (emulator,) = [each for each in alive if "simulators.aws" in each.cmdline()]
    return Path(emulator.environ()["TMPDIR"]).parent


def test_a_second_rehearsal_stays_away_and_an_interrupted_one_leaves_nothing_behind() -> None:
    """In the middle of a deployment: functions, tasks, servers and the CDK CLI run."""
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
    folder = guardians_folder(worker)
    assert folder.exists()
    running = below(process)
    os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=5)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in output
    assert [name for each, name in running.items() if is_alive(each)] == []
    assert not folder.exists()


def test_production_lives_its_whole_life(assembly: Path) -> None:
    """Deploys, reads back, deploys nothing, updates, rolls back, refuses to be destroyed, is destroyed.

    What was deployed is what another synthesis makes, of all environments, in another process and without an emulator.
    """
    process = rehearse("production")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "FAILED" not in output
    assert output.count(" passed ") >= 20
    assert output.count("CREATE_COMPLETE") == 10
    for told in (
        "No-op deploy: touched nothing",
        "the API now bakes 16 minutes, 15 before",
        "UPDATE_ROLLBACK_COMPLETE",
        "A destroy is refused",
        "no stack is left",
        "snapshot is there, bucket is there",
        "The Cloudflare zone is as it was before us",
        "Every request to Cloudflare kept to its contract",
        "a dropped table is back after",
        "not shown here: nobody floods this machine",
    ):
        assert told in output, output
    rehearsed = templates(ROOT / "build" / "rehearsal" / "production" / "cdk.out" / "assembly-production")
    synthesized = templates(assembly / "assembly-production")
    assert len(rehearsed) == 10
    assert rehearsed.keys() == synthesized.keys()
    assert [name for name in rehearsed if rehearsed[name] != synthesized[name]] == []
