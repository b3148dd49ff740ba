"""A reader of `REDIS_URL` that is written in JavaScript, kept running: a line of JSON in, a line of JSON out."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_LOOP = """
createInterface({ input: process.stdin }).on('line', (line) => {
  let answer;
  try { answer = read(JSON.parse(line)); } catch (error) { answer = { error: String(error) }; }
  process.stdout.write(JSON.stringify(answer) + '\\n');
});
"""
Read = Callable[[Any], dict[str, Any]]


@contextmanager
def reader(imports: str) -> Iterator[Read]:
    """`imports` brings a function `read`; what it throws is an answer with the one key `error`."""
    script = f"import {{ createInterface }} from 'node:readline';\n{imports}\n{_LOOP}"
    with subprocess.Popen(
        ["node", "--input-type=module", "-e", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        to, back = process.stdin, process.stdout

        def read(given: Any) -> dict[str, Any]:
            to.write(json.dumps(given) + "\n")
            found: dict[str, Any] = json.loads(back.readline())
            return found

        yield read
        to.close()
