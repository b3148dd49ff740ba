"""The app, and which lines of this repository made each construct: `construct-lines.json` in the cloud assembly.

CDK's own stack traces are those of jsii's JavaScript. Run instead of app.py, with the same environment variables; in
the process of `infra explain` nothing loads CDK.
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
    """FILE:LINE of the frames that are ours, the innermost first."""
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
