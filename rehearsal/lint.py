"""cfn-lint over a cloud assembly: it finds many errors that an emulator accepts silently."""

import subprocess
import sys
from pathlib import Path

# CDK writes dependencies that references already imply: harmless.
_REDUNDANT_DEPENDENCY = "W3005"
# cfn-lint knows full versions only; with a major version, RDS chooses its current default minor version.
_MAJOR_VERSION_ALONE = "W3691"

# The stack Delivery repeats outputs of Registry: one place has everything that a repository's variables need.
_REPEATED_OUTPUT = "W6001"

# With Python's default, a fifth of its time goes into collecting garbage.
_CFN_LINT = "import gc, sys; gc.set_threshold(50_000); from cfnlint.runner import main; sys.exit(main())"


class LintFailed(Exception):
    """Every finding, one a line."""


class Lint:
    """Runs in the background, on a processor that is idle at that time; `result` waits for it."""

    def __init__(self, assembly: Path, *, region: str) -> None:
        templates = sorted(map(str, assembly.glob("assembly-*/*.template.json")))
        if not templates:
            raise LintFailed(f"no template in {assembly}")
        self._process = subprocess.Popen(
            [
                sys.executable, "-c", _CFN_LINT, "--format", "parseable", "--regions", region,
                "--ignore-checks", _REDUNDANT_DEPENDENCY, _MAJOR_VERSION_ALONE, _REPEATED_OUTPUT, "--", *templates,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip

    def result(self) -> None:
        """Raises `LintFailed` if there is any finding."""
        output, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise LintFailed(output.strip())
