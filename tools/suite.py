"""`make test`: runs the suite in parts, four in parallel, because parts with deployments mostly wait.

Two parts are not tests of the suite: one repetition of the benchmark, without what deploys an account; and, for root,
tests that another user runs.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rehearsal.clean_environment import SHARED
from simulators.supervisor import supervised

ROOT = Path(__file__).resolve().parent.parent
_AT_ONCE = 4
_DEPLOYED, _BENCH, _AS_USER = "ops, deployed", "bench", "as another user"
# Parameters of tests that need a deployed account; each part deploys one for all of its tests.
_PRODUCTION, _DEVELOPMENT = "production: Account", "development: Account"
# A file or folder of tests/ is a part if this names it; "templates" has all others. The longest come first,
# then those that mostly wait: both processors have work until the end.
_PARTS = (
    _DEPLOYED,
    "templates",
    "rehearsal",
    "rehearsal/test_another_product.py",
    "client",
    _AS_USER,
    "ops/test_restore.py",
    "runtime",
    "ops",
    "development",
    "simulators",
    "rehearsal/test_lifecycle.py",
    "ops/test_upgrade.py",
    _BENCH,
)


def main(options: list[str]) -> int:
    """Exit code of a failed part, or 0. Options for pytest run in one process: some parts may select no test."""
    pytest = [sys.executable, "-m", "pytest"]
    if options:
        return subprocess.run([*pytest, *options], cwd=ROOT, check=False).returncode
    codes = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        os.environ[SHARED] = folder
        commands = {name: [*pytest, *files, "-p", "no:cacheprovider"] for name, files in parts().items()}
        commands[_BENCH] = ["make", "--no-print-directory", "bench", "ARGS=--smoke"]
        if os.getuid() == 0:
            commands[_AS_USER] = ["tools/as_user.sh"]
        running = {pool.submit(_run, commands[name]): name for name in sorted(commands, key=_PARTS.index)}
        for done in as_completed(running):
            code, output, cpu = done.result()
            codes.append(code)
            print(f"{running[done]}, {cpu:.0f} CPU-seconds: {output if code else _summary(output)}", flush=True)
    return next((code for code in codes if code), 0)


def parts() -> Mapping[str, Sequence[str]]:
    """Files of tests of each part, by its name."""
    tests = sorted(path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py"))
    tests = [each for each in tests if not each.startswith(("soak/", "packs/"))]  # `make soak`, `make packs`
    found: dict[str, list[str]] = {}
    for test in tests:
        folder = test.partition("/")[0]
        part = next((each for each in (test, folder) if each in _PARTS), "templates")
        text = (ROOT / "tests" / test).read_text()
        if _DEVELOPMENT in text:
            part = "development"
        elif part == "ops" and _PRODUCTION in text:
            part = _DEPLOYED
        found.setdefault(part, []).append(f"tests/{test}")
    return found


def _run(command: list[str]) -> tuple[int, str, float]:
    """Exit code, output, and CPU seconds of the process and its children."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return process.returncode, output.read(), used.ru_utime + used.ru_stime


def _summary(output: str) -> str:
    """Pytest's summary, like "76 passed in 715.68s"; the last line of the benchmark."""
    lines = output.splitlines()
    return next((line for line in reversed(lines) if " in " in line and "passed" in line), lines[-1])


if __name__ == "__main__":
    sys.exit(supervised(lambda: main(sys.argv[1:])))
