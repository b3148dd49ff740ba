"""However a rehearsal ends, nothing of it is left five seconds later."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.rehearsal.conftest import is_alive

ROOT = Path(__file__).resolve().parents[2]
# A server, a suspended server, and a process that left its session and parent and ignores SIGTERM.
PROGRAM = """
import subprocess, sys, tempfile, time
from pathlib import Path
from simulators.supervisor import supervised
from simulators.redis.server import Server

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
DAEMON = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], start_new_session=True)"

def work():
    folder = Path(tempfile.mkdtemp())
    Server(folder / "serves").start()
    Server(folder / "frozen").start().freeze()
    subprocess.run([sys.executable, "-c", DAEMON], check=True)
    print(folder.parent, flush=True)
    if "ends" in sys.argv:
        return 7
    time.sleep(600)

sys.exit(supervised(work))
"""

Rehearsal = tuple["subprocess.Popen[str]", Path, list[psutil.Process]]


@pytest.fixture
def rehearsal() -> Iterator[Rehearsal]:
    process = started()
    folder = folder_of(process)
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) == 4, "the worker, two servers and one stubborn process"
    yield process, folder, below
    for each in set(below) - set(gone(below)):
        each.kill()
    process.kill()
    process.communicate()


def started(*words: str, ignores: str = "") -> "subprocess.Popen[str]":
    """Ignores only this signal, even if the tests run in a shell's background or under `nohup`."""
    signals = [f"--ignore-signal={ignores}"] if ignores else []
    return subprocess.Popen(
        ["env", "--default-signal", *signals, sys.executable, "-c", PROGRAM, *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def folder_of(process: "subprocess.Popen[str]") -> Path:
    assert process.stdout is not None
    return next(Path(line.strip()) for line in process.stdout if line.strip())


def twice(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)


WAYS: dict[str, Callable[["subprocess.Popen[str]"], None]] = {
    "Ctrl-C": lambda process: process.send_signal(signal.SIGINT),
    "Ctrl-C twice": twice,
    "SIGTERM": lambda process: process.terminate(),
    "SIGTERM to the group": lambda process: os.killpg(process.pid, signal.SIGTERM),
    "the terminal closes": lambda process: os.killpg(process.pid, signal.SIGHUP),
    "the parent is killed": lambda process: process.kill(),
    "the worker is killed": lambda process: psutil.Process(process.pid).children()[0].kill(),
}


@pytest.mark.parametrize("end", WAYS.values(), ids=WAYS)
def test_no_process_or_file_is_left_however_a_rehearsal_ends(
    end: Callable[["subprocess.Popen[str]"], None], rehearsal: Rehearsal
) -> None:
    process, folder, below = rehearsal
    end(process)
    give_up = time.monotonic() + 5
    while time.monotonic() < give_up and (gone(below) != below or process.poll() is None or folder.exists()):
        time.sleep(0.05)
    assert gone(below) == below
    assert process.poll() not in (None, 0)
    assert not folder.exists()


def gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in processes if not is_alive(each)]


def test_processes_left_behind_end_with_the_work_and_its_exit_code_is_returned() -> None:
    process = started("ends")
    folder = folder_of(process)
    assert process.wait(10) == 7
    assert not folder.exists()
    process.communicate()  # Returns only if no process holds the output open.


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """`nohup make rehearse &`, and the shell that began it is closed."""
    process = started(ignores="HUP")
    folder_of(process)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.terminate()
    assert process.wait(5) == 128 + signal.SIGTERM
    process.communicate()


@pytest.mark.parametrize("option", ["--redis", "--sites"])
def test_a_command_that_fails_ends(option: str) -> None:
    """It ends by itself: the worker is forked before any thread starts that its exit would wait for."""
    command = [sys.executable, "-m", "rehearsal", "dev", option, "unknown"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "expected one of" in done.stderr) == (2, True), done.stderr
