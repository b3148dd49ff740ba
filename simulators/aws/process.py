"""Starts the emulator as a separate process, and always ends it with everything that it started."""

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
from simulators.ports import free_port
from simulators.redis.authority import Authority
from simulators.supervisor import end_tree

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 60
# Real seconds that a minute of ECS's bake time takes; production bakes for a quarter of an hour.
_MINUTE_SECONDS = 0.02


class EmulatorError(Exception):
    """The emulator did not start; the message says where its log is."""


@dataclass(frozen=True)
class Emulator:
    url: str
    faults: Path
    """File with resource types that fail at their next update; see `simulators.aws.faults`."""
    images: Path
    """Folder of pushed images; see `simulators.aws.ecs`."""
    balancer: Path
    """File with the load balancer's address and port for users, as JSON."""
    deliveries: Path
    """File of e-mails and Slack messages; see `simulators.aws.deliveries`."""
    throttled: Path
    """Folder; a file in it named after a service makes that service throttle every call."""
    console: Path
    """Folder with a file for each action of a person in the console; see `simulators.aws.CONSOLE`."""
    live: Path
    """File whose existence makes CloudWatch evaluate alarms; see `simulators.aws.cloudwatch.live`."""

    def load_balancer(self) -> tuple[str, int]:
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
    """An empty emulator on a free port of 127.0.0.1. Its state is deleted at the end of the block.

    `cloudflare` is the base URL of Cloudflare's API, for Lambda functions and ACM's DNS lookups; `upstash` is that of
    Upstash's API. `authority` is the CA that functions trust and that signs the certificates of the account's Redis
    servers. Every condition of a real account holds except those in `without`. `internet` is the URL of a proxy through
    which functions reach public names; without it, `Emulator.live` has no effect.
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
        # CDK's own Node.js handlers need the AWS SDK, which Lambda's runtime includes.
        "NODE_PATH": str(ROOT / "node_modules"),
        FAULTS: str(running.faults),
        # Variables of the process that runs the functions; no template has them.
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
            # Ctrl-C must not reach the emulator: we end it after our own clean-up.
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
