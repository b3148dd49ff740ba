"""Runs a Worker's code in Node.js as Cloudflare would."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulators.cloudflare.world import Zone
from simulators.ports import free_port

_SERVER = Path(__file__).with_name("worker_server.mjs")


@contextmanager
def running(
    module: Path, *, env: Mapping[str, str], upstreams: Mapping[str, str] | None = None, cached: bool = False
) -> Iterator[str]:
    """The root URL at which it answers. `upstreams` says where an origin is to be found on this machine."""
    port = free_port()
    values = {"env": dict(env), "upstreams": dict(upstreams or {}), "cached": cached}
    with subprocess.Popen(
        ["node", _SERVER, module.as_uri(), str(port)],
        env={"PATH": os.environ["PATH"], "WORKER": json.dumps(values)},
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
def deployed(script: Mapping[str, Any], *, upstreams: Mapping[str, str], cached: bool = False) -> Iterator[str]:
    """Like `running`, for a script that was uploaded to the simulator, with its bindings."""
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "worker.mjs"
        module.write_text(script["source"])
        with running(module, env=bindings_of(script), upstreams=upstreams, cached=cached) as url:
            yield url


def bindings_of(script: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: each["text"] for each in script["bindings"]}


def script_at(zone: Zone, host: str, path: str) -> str | None:
    """The script that runs before the origin. The most specific pattern wins (cloudflare-docs, routing/routes.mdx)."""
    url = f"{host}{path}"
    matching = [
        each
        for each in zone.routes.values()
        if (url.startswith(each["pattern"][:-1]) if each["pattern"].endswith("*") else url == each["pattern"])
    ]
    route = max(matching, key=lambda each: len(each["pattern"]), default=None)
    return route.get("script") if route is not None else None
