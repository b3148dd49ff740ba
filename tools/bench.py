"""Measures what docs/performance.md states, all in one run on one machine: `make bench`, into build/bench.json.

`make bench ARGS=--full` adds the test suite and the way from a bare clone to a rehearsed production; `ARGS=--smoke`
runs each measurement that needs no deployed account once, to show that the benchmark works.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rehearsal import clean_environment, permissions
from simulators.supervisor import supervised
from tools import bench_edge, bench_redis, bench_releases

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "build" / "bench.json"
_EMPTY = "import aws_cdk\napp = aws_cdk.App()\napp.synth()\n"
# The app, which waits for Node.js to end as Python programs do by default; app.py exits earlier.
_WAITING = "import sys\nsys.path.insert(0, {root!r})\nimport app\nsys.exit(app.main())\n"
_REPEATS = 5
_ROWS = 1_000_000
_PRODUCTION, _THREE = "production, not validated", "three environments, not validated"
_RATIOS = {
    "production / empty app (at most 5.5)": (_PRODUCTION, "empty app"),
    "three environments / production (at most 1.7)": (_THREE, _PRODUCTION),
}
Measurement = Callable[[], Any]


class CommandFailed(Exception):
    """A measured command failed."""


def seconds(command: Sequence[str], environment: Mapping[str, str] | None = None, *, cwd: Path = ROOT) -> float:
    """Wall-clock time of one command. Raises `CommandFailed` with its output."""
    started = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise CommandFailed(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return time.perf_counter() - started


def main(options: Sequence[str]) -> int:
    """Writes the result after each measurement. Exit code 1 if one failed; the others still run."""
    unknown = set(options) - {"--full", "--smoke"}
    if unknown:
        sys.stderr.write(f"bench: {', '.join(sorted(unknown))}: expected --full, --smoke or nothing\n")
        return 2
    clean_environment.enter()
    measured: dict[str, Any] = {}
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, measurement in _measurements(Path(folder), options).items():
            started = time.perf_counter()
            try:
                measured[name] = measurement()
            except Exception:
                failed.append(name)
                traceback.print_exc()
            print(
                f"{name}: {'FAILED' if name in failed else 'measured'}, {time.perf_counter() - started:.1f} s",
                flush=True,
            )
            _write(measured, failed)
    return 1 if failed else 0


def _measurements(folder: Path, options: Sequence[str]) -> dict[str, Measurement]:
    smoke = "--smoke" in options
    repeats = 1 if smoke else _REPEATS
    empty, waiting, assembly = folder / "empty.py", folder / "waiting.py", folder / "production"
    empty.write_text(_EMPTY)
    waiting.write_text(_WAITING.format(root=str(ROOT)))

    def synthesis(program: str | Path, *flags: str, into: Path = folder / "out", **more: str) -> Measurement:
        return lambda: _synthesis(program, *flags, into=into, repeats=repeats, **more)

    without_account: dict[str, Measurement] = {
        "empty app": synthesis(empty, "-O"),
        _PRODUCTION: synthesis("app.py", "-O", env="production", into=assembly),
        "edge": lambda: bench_edge.measure(assembly),
        "database": lambda: bench_releases.database(folder, rows=1000 if smoke else _ROWS),
    }
    if smoke:
        return without_account
    rehearsed = ROOT / "build" / "rehearsal" / "production"
    found = without_account | {
        _THREE: synthesis("app.py", "-O"),
        "three environments, validated": synthesis("app.py", "-O", CDK_VALIDATION="true"),
        "production, without python -O": synthesis("app.py", env="production"),
        "production, waiting for node's exit": synthesis(waiting, "-O", env="production"),
        "production, jsii package cache off": synthesis(
            "app.py", "-O", env="production", JSII_RUNTIME_PACKAGE_CACHE="disabled"
        ),
        "one construct's test file": lambda: seconds([".venv/bin/pytest", "-q", "tests/constructs/test_network.py"]),
        "rehearsal of production": lambda: seconds([sys.executable, "-m", "rehearsal", "production"]),
        "permissions": lambda: permissions.figures(rehearsed),
        "redis": bench_redis.measured,
        "releases": bench_releases.deployed,
    }
    if "--full" in options:
        found["make test"] = lambda: seconds(["make", "test"])
        found["bare clone to rehearsed production"] = _from_a_bare_clone
    return found


def _synthesis(
    program: str | Path, *flags: str, into: Path, repeats: int, env: str | None = None, **environment: str
) -> dict[str, float]:
    """Median and extremes in seconds. Several runs begin with an unmeasured one, which warms the caches."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"] | ({"env": env} if env else {})
    variables: Mapping[str, str] = {
        "CDK_CONTEXT_JSON": json.dumps(context),
        "CDK_OUTDIR": str(into),
        "CDK_VALIDATION": "false",
        **environment,
    }
    command = [sys.executable, *flags, str(program)]
    if repeats > 1:
        seconds(command, variables)
    runs = [seconds(command, variables) for _ in range(repeats)]
    return {"median": statistics.median(runs), "least": min(runs), "most": max(runs)}


def _write(measured: Mapping[str, Any], failed: Sequence[str]) -> None:
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        + subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip(),
        "ratios": dict(_ratios(measured)),
        "measured": measured,
        "failed": failed,
    }
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(result, indent=2) + "\n")


def _ratios(measured: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, (above, below) in _RATIOS.items():
        if above in measured and below in measured:
            yield name, measured[above]["median"] / measured[below]["median"]


def _from_a_bare_clone() -> float:
    folder = tempfile.mkdtemp()
    try:
        started = time.perf_counter()
        seconds(["git", "clone", "--quiet", str(ROOT), folder + "/clone"])
        cold = {"JSII_RUNTIME_PACKAGE_CACHE_ROOT": folder + "/cache"}
        seconds(["make", "rehearse"], cold, cwd=Path(folder) / "clone")
        return time.perf_counter() - started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    # `supervised` also ends the servers of a failed measurement.
    sys.exit(supervised(lambda: main(sys.argv[1:])))
