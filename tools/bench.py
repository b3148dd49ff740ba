"""Measures what docs/performance.md states, all in one run on one machine: `make bench`, into build/bench.json.

`make bench ARGS=--full` adds the test suite and the way from a bare clone to a rehearsed production.
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
from collections.abc import Mapping, Sequence
from pathlib import Path

from rehearsal import clean_environment, permissions
from tools import bench_edge, bench_redis, bench_releases

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "build" / "bench.json"
_EMPTY = "import aws_cdk\napp = aws_cdk.App()\napp.synth()\n"
# The application as it is, but waiting for Node.js to end, as Python programs do by themselves.
_WAITING = "import sys\nsys.path.insert(0, {root!r})\nimport app\nsys.exit(app.main())\n"
_REPEATS = 5


def seconds(command: Sequence[str], environment: Mapping[str, str] | None = None, *, cwd: Path = ROOT) -> float:
    """Wall-clock time of one command. Ends the program when it fails: a failure is no measurement."""
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
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return time.perf_counter() - started


def synthesis(program: str | Path, *flags: str, env: str | None = None, **environment: str) -> dict[str, float]:
    """Median and extremes of several runs, in seconds, after one that warms the caches."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"] | ({"env": env} if env else {})
    with tempfile.TemporaryDirectory() as output:
        variables: Mapping[str, str] = {
            "CDK_CONTEXT_JSON": json.dumps(context),
            "CDK_OUTDIR": output,
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
            "CDK_VALIDATION": "false",
            **environment,
        }
        command = [sys.executable, *flags, str(program)]
        seconds(command, variables)
        runs = [seconds(command, variables) for _ in range(_REPEATS)]
    return {"median": statistics.median(runs), "least": min(runs), "most": max(runs)}


def main() -> None:
    full = "--full" in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        empty, waiting = Path(folder) / "empty.py", Path(folder) / "waiting.py"
        empty.write_text(_EMPTY)
        waiting.write_text(_WAITING.format(root=str(ROOT)))
        figures: dict[str, dict[str, float]] = {
            "empty app": synthesis(empty, "-O"),
            "production, not validated": synthesis("app.py", "-O", env="production"),
            "three environments, not validated": synthesis("app.py", "-O"),
            "three environments, validated": synthesis("app.py", "-O", CDK_VALIDATION="true"),
            "production, without python -O": synthesis("app.py", env="production"),
            "production, waiting for node's exit": synthesis(waiting, "-O", env="production"),
        }
    once = {
        "jsii package cache off": seconds(
            [sys.executable, "-O", "app.py"],
            {
                "CDK_CONTEXT_JSON": json.dumps({"env": "production"}),
                "CDK_OUTDIR": str(ROOT / "build" / "bench"),
                "CDK_VALIDATION": "false",
                "JSII_RUNTIME_PACKAGE_CACHE": "disabled",
            },
        ),
        "one construct's test file": seconds([".venv/bin/pytest", "-q", "tests/constructs/test_database.py"]),
        "rehearsal of production": seconds([sys.executable, "-m", "rehearsal", "production"]),
    }
    if full:
        once["make test"] = seconds(["make", "test"])
        once["bare clone to rehearsed production"] = _from_a_bare_clone()
    median = {name: figure["median"] for name, figure in figures.items()}
    ratios = {
        "production / empty app (at most 5.5)": median["production, not validated"] / median["empty app"],
        "three environments / production (at most 1.7)": median["three environments, not validated"]
        / median["production, not validated"],
    }
    result: dict[str, object] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        + subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip(),
        "repeats": _REPEATS,
        "seconds": figures,
        "seconds, measured once": once,
        "ratios": ratios,
    }
    rehearsed = ROOT / "build" / "rehearsal" / "production"
    # Each is written at once: what fails later costs none of the others.
    for name, measured in (
        ("edge", lambda: bench_edge.measure(rehearsed / "cdk.out")),
        ("permissions", lambda: permissions.figures(rehearsed)),
        ("redis", bench_redis.measured),
        ("releases", bench_releases.measured),
    ):
        _write(result)
        result[name] = measured()
    _write(result)
    print(json.dumps(result, indent=2))


def _write(result: Mapping[str, object]) -> None:
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(result, indent=2) + "\n")


def _from_a_bare_clone() -> float:
    folder = tempfile.mkdtemp()
    try:
        started = time.perf_counter()
        seconds(["git", "clone", "--quiet", str(ROOT), folder + "/clone"])
        seconds(["make", "rehearse"], {"XDG_CACHE_HOME": folder + "/cache"}, cwd=Path(folder) / "clone")
        return time.perf_counter() - started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    clean_environment.enter()
    main()
