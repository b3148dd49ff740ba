"""`make rehearse`, as its user runs it, and what it leaves behind."""

import os
import signal
import time
from pathlib import Path

from tests.rehearsal.conftest import emulators, rehearse

ROOT = Path(__file__).resolve().parents[2]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}


def test_an_interrupted_rehearsal_leaves_nothing_behind() -> None:
    process = rehearse("dev")
    give_up = time.monotonic() + 120
    while not (started := emulators(process)):
        assert time.monotonic() < give_up, "no emulator was started"
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in output
    assert [each for each in started if each.is_running()] == []
    assert not (ROOT / "build" / "rehearsal" / "dev" / "tmp").exists()


def test_production_lives_its_whole_life(validated: Path) -> None:
    """Deploys, reads back, deploys nothing, updates, rolls back, refuses to be destroyed, is destroyed.

    What was deployed is, byte for byte, what another synthesis makes, of all environments and without an emulator.
    """
    process = rehearse("production")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "BROKEN" not in output
    assert output.count(" kept ") >= 20
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
        "not shown here: the emulator has no restore",
    ):
        assert told in output, output
    rehearsed = files(ROOT / "build" / "rehearsal" / "production" / "cdk.out" / "assembly-production")
    synthesized = files(validated / "assembly-production")
    assert len(rehearsed) > 16
    assert rehearsed.keys() == synthesized.keys()
    assert [name for name in rehearsed if rehearsed[name] != synthesized[name]] == []
