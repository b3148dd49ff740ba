"""The sandbox of this clone (`make sandbox`): while it runs, commands for its environment go to it.

The sandbox writes `FILE` and removes it when it ends. Only its own environment is redirected, and each command says so.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from config import ENVIRONMENTS
from ops.errors import InputError, OperatorError
from ops.progress import working

FILE = Path(__file__).resolve().parents[1] / "build" / "sandbox.json"
FAULTS = {
    "redis": "every Redis server of the environment stops answering",
    "database": "PostgreSQL stops answering",
    "task": "the API's image cannot be pulled any more, and its tasks are stopped",
    "release": "a version that answers 500 to users is released; its checks pass",
    "edge-rule": "a WAF rule is edited at Cloudflare and blocks every request",
    "origin": "the load balancer accepts connections and does not answer",
    "rotation": "the database's password is changed, and the secret is not",
    "cloudflare-errors": "Cloudflare answers every request with 502 itself",
    "s3-throttled": "S3 throttles every call: SlowDown",
    "secrets-throttled": "Secrets Manager throttles every call: ThrottlingException",
}
"""What `infra sandbox break` takes, and what then happens."""
_ANSWER_SECONDS = 5.0
_ACTION_SECONDS = 120.0


@dataclass(frozen=True)
class Sandbox:
    environment: str
    environments: str
    """Folder of the file that says what the environment is."""
    page: str
    """URL of the page, without a slash at its end."""
    token: str
    """Required to break or repair something, so that other web pages in the browser cannot."""
    variables: dict[str, str]
    """Environment variables with which `./infra` reaches the emulators."""

    def write(self, file: Path = FILE) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps(asdict(self)))

    def is_alive(self) -> bool:
        try:
            return httpx.get(f"{self.page}/alive", timeout=_ANSWER_SECONDS, trust_env=False).text == self.environment
        except httpx.HTTPError:
            return False

    def read(self, what: str) -> Any:
        """`addresses` or `alarms`, as the page has them. Raises `OperatorError`."""
        try:
            answer = httpx.get(f"{self.page}/{what}", timeout=_ACTION_SECONDS, trust_env=False)
            return answer.raise_for_status().json()
        except httpx.HTTPError as error:
            raise self._silent(error) from None

    def _silent(self, error: Exception) -> OperatorError:
        return OperatorError(f"the sandbox of {self.environment} does not answer: {error}")

    def ask(self, action: str, fault: str = "") -> str:
        """Returns the sandbox's answer. Raises `OperatorError`."""
        try:
            with working(f"the sandbox of {self.environment}: {action} {fault}".rstrip()):
                answer = httpx.post(
                    f"{self.page}/{action}/{fault}",
                    headers={"X-Sandbox": self.token},
                    timeout=_ACTION_SECONDS,
                    trust_env=False,
                )
        except httpx.HTTPError as error:
            raise self._silent(error) from None
        if answer.status_code != 200:
            raise OperatorError(answer.text)
        return answer.text


def running(file: Path = FILE) -> Sandbox | None:
    """The sandbox of this clone. Raises `InputError` when its file is there and it does not answer."""
    if (sandbox := _read(file)) is not None and not sandbox.is_alive():
        raise InputError(
            f"{file}: the sandbox of {sandbox.environment} does not answer at {sandbox.page}. "
            f"Start it again (make sandbox ENV={sandbox.environment}), or delete the file to reach the real one"
        )
    return sandbox


def required(file: Path = FILE) -> Sandbox:
    """Raises `InputError` when none runs."""
    if (sandbox := running(file)) is None:
        raise InputError("no sandbox runs in this clone; start one in another terminal: make sandbox ENV=dev")
    return sandbox


def enter(environment: str, file: Path = FILE) -> None:
    """Redirects this process to the sandbox if that holds the environment, and says so on standard error.

    Raises `InputError` when that sandbox has ended without removing its file: the command could mean either.
    """
    found = _read(file)
    if found is None or found.environments != str(ENVIRONMENTS):
        return
    if found.environment != environment:
        # It does not even check whether the sandbox runs: commands during a real incident must not wait for it.
        _say(f"the sandbox of this clone holds {found.environment}; this is the real {environment}")
        return
    if os.environ.get("AWS_ENDPOINT_URL") == found.variables["AWS_ENDPOINT_URL"]:
        return
    sandbox = required(file)
    for name in list(os.environ):
        # A profile, an endpoint or a proxy of the person's own would lead elsewhere.
        if name.startswith("AWS_") or name.upper().endswith("_PROXY"):
            del os.environ[name]
    os.environ.update(sandbox.variables)
    _say(f"SANDBOX: {environment} on this machine, {sandbox.page}. Nothing reaches AWS or Cloudflare.")


def _read(file: Path) -> Sandbox | None:
    """Raises `InputError`."""
    try:
        return Sandbox(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise InputError(f"{file} is not what a sandbox writes: delete it") from None


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201
