"""A Worker's own code, run by Node.js as Cloudflare would run it."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulators.ports import free_port

_SERVER = Path(__file__).with_name("worker_server.mjs")


@contextmanager
def running(
    module: Path, *, env: Mapping[str, str], upstreams: Mapping[str, str] | None = None, cached: bool = False
) -> Iterator[str]:
    """The root URL at which it answers. `upstreams` says where an origin is to be found on this machine."""
    port = free_port()
    told = {"env": dict(env), "upstreams": dict(upstreams or {}), "cached": cached}
    with subprocess.Popen(
        ["node", _SERVER, module.as_uri(), str(port)],
        env={"PATH": os.environ["PATH"], "WORKER": json.dumps(told)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"listening\n":
                raise RuntimeError(f"the Worker {module} did not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@contextmanager
def deployed(script: Mapping[str, Any], *, s3: str, cached: bool) -> Iterator[str]:
    """As `running`: a script that was uploaded to the simulator, with its bindings, before the S3 at this URL."""
    bindings = {each["name"]: each["text"] for each in script["bindings"]}
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "worker.mjs"
        module.write_text(script["source"])
        upstreams = {f"https://{bindings['BUCKET_HOST']}": s3}
        with running(module, env=bindings, upstreams=upstreams, cached=cached) as url:
            yield url
