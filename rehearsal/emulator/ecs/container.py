"""A container of a task definition as a process, with its secrets, its log and its end."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehearsal.emulator import IMAGES
from rehearsal.emulator.resource_type import client

_OWN_ADDRESS = Path(__file__).parent / "own_address.mjs"
_FLUSH_SECONDS = 0.2
_DEFAULT_COMMAND = ("node", "server.mjs")


class CannotPull(Exception):
    """As ECS says it."""


def image_folder(image: str) -> Path | None:
    """Working directory of an image that was pushed; None for one of the public registry. Raises `CannotPull`."""
    _, _, digest = image.partition("@sha256:")
    if not digest:
        return None
    folder = Path(os.environ[IMAGES]) / digest
    if not folder.exists():
        raise CannotPull(f"CannotPullContainerError: failed to resolve ref {image}: not found")
    return folder


@dataclass
class Container:
    definition: Mapping[str, Any]
    address: str
    secrets: Mapping[str, str]
    stream: str
    """Id of the task, the last part of the log stream's name."""
    command: Sequence[str] | None = None
    """Instead of the definition's."""
    variables: Mapping[str, str] = field(default_factory=dict)
    aws: Mapping[str, str] = field(default_factory=dict)
    """Variables that ECS sets; the definition's own come before them."""
    _process: "subprocess.Popen[bytes] | None" = None
    _lines: list[tuple[int, str]] = field(default_factory=list)

    def start(self, ended: Callable[[int], None]) -> None:
        """Calls `ended` with the exit code, once its log is written. Raises `CannotPull`."""
        folder = image_folder(self.definition["image"])
        home = Path(os.environ["TMPDIR"])
        environment = {each["name"]: str(each["value"]) for each in self.definition.get("environment", [])}
        command = self.command or self.definition.get("command") or _DEFAULT_COMMAND
        self._process = subprocess.Popen(
            list(command),
            cwd=folder or home,
            env={
                "PATH": os.environ["PATH"],
                # In the image, elsewhere: what the application trusts, and where psql looks for it.
                "NODE_EXTRA_CA_CERTS": os.environ["SSL_CERT_FILE"],
                "PGSSLROOTCERT": os.environ["SSL_CERT_FILE"],
                "NODE_OPTIONS": f"--import={_OWN_ADDRESS.as_uri()}",
                "TASK_ADDRESS": self.address,
                **self.aws,
                **environment,
                "HOME": str(home),
                **self.secrets,
                **self.variables,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        # Made here, where account and region are known.
        arguments = (self._process, client("logs"), ended)
        threading.Thread(target=self._watch, args=arguments, daemon=True).start()

    def _watch(self, process: "subprocess.Popen[bytes]", logs: Any, ended: Callable[[int], None]) -> None:
        assert process.stdout is not None
        flusher = threading.Thread(target=self._flush_until, args=(process, logs), daemon=True)
        flusher.start()
        for line in process.stdout:
            self._lines.append((int(time.time() * 1000), line.decode(errors="replace").rstrip()))
        process.wait()
        flusher.join()
        ended(_exit_code(process))

    def _flush_until(self, process: "subprocess.Popen[bytes]", logs: Any) -> None:
        options = self.definition["logConfiguration"]["options"]
        where = {
            "logGroupName": options["awslogs-group"],
            "logStreamName": f"{options['awslogs-stream-prefix']}/{self.definition['name']}/{self.stream}",
        }
        logs.create_log_stream(**where)
        while True:
            over = process.poll() is not None
            if over:
                time.sleep(0.05)  # the reader's last lines
            lines, self._lines[:] = list(self._lines), []
            if lines:
                events = [{"timestamp": when, "message": line or " "} for when, line in lines]
                logs.put_log_events(**where, logEvents=events)
            if over:
                return
            time.sleep(_FLUSH_SECONDS)

    def stop(self, patience_seconds: float) -> int | None:
        """SIGTERM, and SIGKILL to whoever is still there afterwards. Returns the exit code, as ECS has it."""
        process = self._process
        if process is None:
            return None
        if process.poll() is not None:
            return _exit_code(process)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return _exit_code(process)


def _exit_code(process: "subprocess.Popen[bytes]") -> int:
    """Of one that has ended; by a signal, 128 and its number."""
    code = process.wait()
    return code if code >= 0 else 128 - code
