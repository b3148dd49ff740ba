"""Runs app.py and records which lines of this repository created each construct: `construct-lines.json`.

`infra explain` runs it in a process of its own, with app.py's environment variables, so that `./infra` loads no CDK.
CDK's own stack traces show jsii's JavaScript instead of our lines. The file is in the cloud assembly.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from constructs import Construct  # noqa: E402
from jsii._runtime import JSIIMeta  # noqa: E402

import app  # noqa: E402  (it sets the paths and variables that the next two need)

FILE = "construct-lines.json"
_MOST_LINES = 4
_PLACES = ("app.py", "stacks/", "constructs/")


def _our_lines() -> list[str]:
    """FILE:LINE of our own frames, the innermost first."""
    found: list[str] = []
    frame = sys._getframe(2)
    while frame is not None and len(found) < _MOST_LINES:
        path = frame.f_code.co_filename.removeprefix(f"{ROOT}/")
        if path.startswith(_PLACES):
            found.append(f"{path}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return found


def main() -> int:
    lines: dict[str, list[str]] = {}
    own = JSIIMeta.__call__

    def remember(cls: Any, *arguments: Any, **options: Any) -> Any:
        made = own(cls, *arguments, **options)
        if isinstance(made, Construct):
            lines[made.node.path] = _our_lines()
        return made

    JSIIMeta.__call__ = remember  # type: ignore[method-assign]
    code = app.main()
    (Path(os.environ["CDK_OUTDIR"]) / FILE).write_text(json.dumps(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
