"""`make test`: the suite in two processes at once, as deployments mostly wait and the rest mostly computes."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# By what they need: an account that was deployed to, or not.
DEPLOYED = ("rehearsal", "ops")


def main(options: list[str]) -> int:
    """Exit code of a half that failed, if any did. With options of pytest's, one process: a half might be empty."""
    pytest = [sys.executable, "-m", "pytest"]
    if options:
        return subprocess.run([*pytest, *options], cwd=ROOT, check=False).returncode
    folders = sorted(path for path in (ROOT / "tests").iterdir() if path.is_dir() and not path.name.startswith("__"))
    halves = [
        [str(path) for path in folders if path.name in DEPLOYED],
        [str(path) for path in folders if path.name not in DEPLOYED],
    ]
    with tempfile.TemporaryFile("w+") as output:
        first = subprocess.Popen([*pytest, *halves[0]], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        second = subprocess.run([*pytest, *halves[1], "-p", "no:cacheprovider"], cwd=ROOT, check=False)
        code = first.wait()
        output.seek(0)
        print(output.read())
    return second.returncode or code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
