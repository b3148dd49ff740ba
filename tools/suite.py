"""`make test`: the suite in two processes at once, as deployments mostly wait and the rest mostly computes."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Together about half of the time: what needs the one account that is deployed for all of them, and its own kind.
_FIRST = ("ops", "rehearsal")
# Deploys an account of its own, wherever it runs.
_ELSEWHERE = "test_redis_migration.py"


def main(options: list[str]) -> int:
    """Exit code of a half that failed, if any did. With options of pytest's, one process: a half might be empty."""
    pytest = [sys.executable, "-m", "pytest"]
    if options:
        return subprocess.run([*pytest, *options], cwd=ROOT, check=False).returncode
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    first = [path for path in tests if path.relative_to(ROOT).parts[1] in _FIRST and path.name != _ELSEWHERE]
    halves = [list(map(str, first)), [str(path) for path in tests if path not in first]]
    with tempfile.TemporaryFile("w+") as output:
        beside = subprocess.Popen([*pytest, *halves[0]], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        here = subprocess.run([*pytest, *halves[1], "-p", "no:cacheprovider"], cwd=ROOT, check=False)
        code = beside.wait()
        output.seek(0)
        print(output.read())
    return here.returncode or code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
