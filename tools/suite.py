"""`make test`: the suite in three processes at once, as deployments mostly wait and the rest mostly computes."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TextIO

from simulators.guardian import guarded

SHARED = "SUITE_SHARED"
"""Environment variable: the folder in which the parts find what one of them has made."""
ROOT = Path(__file__).resolve().parent.parent
# Whatever needs the one account that is deployed for all of these.
_IN_THE_ACCOUNT = ("ops", "rehearsal", "simulators")
# Beside them, as theirs is the shortest part: syntheses of its own, which nothing else has a use for.
_BESIDE_THEM = ("test_synthesis.py",)
# Each deploys accounts or databases of its own.
_WITH_THEIR_OWN = (
    "test_another_product.py",
    "test_life.py",
    "test_preview.py",
    "test_queue.py",
    "test_redis_migration.py",
    "test_restore.py",
    "test_secrets.py",
)


def main(options: list[str]) -> int:
    """Exit code of a part that failed, if any did. With options of pytest's, one process: a part might be empty."""
    pytest = [sys.executable, "-m", "pytest"]
    if options:
        return subprocess.run([*pytest, *options], cwd=ROOT, check=False).returncode
    here, *beside = parts()
    with tempfile.TemporaryDirectory() as folder:
        os.environ[SHARED] = folder
        outputs = [(Path(folder) / f"{number}").open("w+") for number in range(len(beside))]
        running = [_begun([*pytest, *part], output) for part, output in zip(beside, outputs, strict=True)]
        codes = [subprocess.run([*pytest, *here], cwd=ROOT, check=False).returncode]
        for process, output in zip(running, outputs, strict=True):
            codes.append(process.wait())
            output.seek(0)
            print(output.read())
            output.close()
    return next((code for code in codes if code), 0)


def parts() -> list[list[str]]:
    """Every test file, once."""
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    own = [path for path in tests if path.name in _WITH_THEIR_OWN]
    account = [
        path
        for path in tests
        if (path.relative_to(ROOT).parts[1] in _IN_THE_ACCOUNT or path.name in _BESIDE_THEM) and path not in own
    ]
    rest = [path for path in tests if path not in own and path not in account]
    return [[str(path) for path in part] for part in (rest, account, own)]


def _begun(command: list[str], output: TextIO) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([*command, "-p", "no:cacheprovider"], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
