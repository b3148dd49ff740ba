"""Starts the emulator as a process of its own, and always ends it with everything that it started."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from simulators.aws import (
    AUTHORITY,
    BALANCER,
    CALLS,
    CONSOLE,
    DELIVERIES,
    FAULTS,
    IMAGES,
    LIVE,
    MINUTE,
    THROTTLED,
)
from simulators.aws.conditions import WITHOUT, Condition
from simulators.guardian import end_tree
from simulators.ports import free_port
from simulators.redis.authority import Authority

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 60
# Of ECS's bake time, which is a quarter of an hour in production.
_MINUTE_SECONDS = 0.02


class EmulatorError(Exception):
    """The emulator did not start; the message says where its log is."""


@dataclass(frozen=True)
class Emulator:
    url: str
    faults: Path
    """Resource types written here fail at their next update; see `simulators.aws.faults`."""
    images: Path
    """What was pushed; see `simulators.aws.ecs`."""
    balancer: Path
    """Where users reach the load balancer, as JSON: address, port."""
    deliveries: Path
    """E-mails and Slack messages; see `simulators.aws.deliveries`."""
    throttled: Path
    """Folder; a file in it with the name of a service makes it throttle every call."""
    console: Path
    """Folder with a file for each thing that a person has done in the console; see `simulators.aws.CONSOLE`."""
    live: Path
    """Once it exists, CloudWatch evaluates alarms; see `simulators.aws.cloudwatch.live`."""

    def entrance(self) -> tuple[str, int]:
        """Address and port of the load balancer for users, once there is one."""
        where = json.loads(self.balancer.read_text())
        return where["address"], where["port"]


@contextmanager
def emulator(
    workspace: Path,
    *,
    cloudflare: str,
    upstash: str,
    authority: Authority,
    without: Collection[Condition] = (),
    internet: str | None = None,
) -> Iterator[Emulator]:
    """An emulator with nothing in it, on a free port of 127.0.0.1. All of its state ends with the block.

    `cloudflare` is the base URL of the API that our Lambda functions speak to, and that ACM looks names up by;
    `upstash` is the same of Upstash's. `authority` is who they trust, and who signs the certificates of the Redis
    servers in the account. Every condition of a real account holds but those in `without`. `internet` is the URL of a
    proxy through which functions reach public names; an account that has it can be made to live (`Emulator.live`).
    """
    port = free_port()
    log_path = workspace / "emulator.log"
    certificates = workspace / "authority"
    trusted = authority.save(certificates)
    running = Emulator(
        url=f"http://127.0.0.1:{port}",
        faults=workspace / "faults.json",
        images=workspace / "images",
        balancer=workspace / "balancer.json",
        deliveries=workspace / "deliveries.jsonl",
        throttled=workspace / "throttled",
        console=workspace / "console",
        live=workspace / "live",
    )
    running.throttled.mkdir(exist_ok=True)
    running.console.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        # Where CDK's own Node.js handlers find the AWS SDK that the real runtime brings along.
        "NODE_PATH": str(ROOT / "node_modules"),
        FAULTS: str(running.faults),
        # In the process that runs the functions, not in any template.
        "CLOUDFLARE_BASE_URL": cloudflare,
        "UPSTASH_BASE_URL": upstash,
        "SSL_CERT_FILE": str(trusted),
        AUTHORITY: str(certificates),
        IMAGES: str(running.images),
        BALANCER: str(running.balancer),
        CALLS: str(workspace / "calls.jsonl"),
        DELIVERIES: str(running.deliveries),
        MINUTE: str(_MINUTE_SECONDS),
        THROTTLED: str(running.throttled),
        CONSOLE: str(running.console),
        WITHOUT: ",".join(without),
    }
    if internet is not None:
        environment |= {"HTTPS_PROXY": internet, LIVE: str(running.live)}
    # Not in the workspace: PostgreSQL's socket needs a short path that its own user may enter.
    with (
        tempfile.TemporaryDirectory(prefix="emulator-", ignore_cleanup_errors=True) as temporary,
        log_path.open("wb") as log,
    ):
        Path(temporary).chmod(0o711)
        process = subprocess.Popen(
            [sys.executable, "-m", "simulators.aws", str(port)],
            cwd=ROOT,
            env=environment | {"TMPDIR": temporary},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # A Ctrl-C is for us; we end the emulator when we have finished with it.
            start_new_session=True,
        )
        try:
            _wait_until_ready(running.url, process, log_path)
            yield running
        finally:
            # Lambda handlers, tasks and servers run as children of the emulator.
            end_tree(process.pid)
            process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_ministack/health", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise EmulatorError(f"the emulator did not start within {_START_SECONDS} s; its log: {log}")
