"""A container of a task definition as a process, with its secrets, log and exit code."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509

from simulators.aws.ecs.image import CannotStart, Image, image_of
from simulators.aws.ecs.volumes import Volumes, here
from simulators.aws.resource_type import client

_OWN_ADDRESS = Path(__file__).parent / "own_address.mjs"
_FLUSH_SECONDS = 0.2
_EVERY_ADDRESS = "0.0.0.0"  # noqa: S104


@dataclass
class Container:
    definition: Mapping[str, Any]
    address: str
    secrets: Mapping[str, str]
    stream: str
    """Id of the task, the last part of the log stream's name."""
    volumes: Volumes
    command: Sequence[str] | None = None
    """Overrides the definition's command."""
    variables: Mapping[str, str] = field(default_factory=dict)
    aws: Mapping[str, str] = field(default_factory=dict)
    """Variables that ECS sets; the definition's take precedence."""
    _process: "subprocess.Popen[bytes] | None" = None
    _lines: list[tuple[int, str]] = field(default_factory=list)

    def start(self, ended: Callable[[int], None]) -> None:
        """Calls `ended` with the exit code, once its log is written. Raises `CannotPull`, `CannotStart`."""
        image = image_of(self.definition["image"])
        command = self.command or self.definition.get("command") or image.command
        self._process = self._run(
            image, [*self.definition.get("entryPoint", []), *command], out=subprocess.PIPE, errors=subprocess.STDOUT
        )
        # The client is created here: the thread knows neither account nor region.
        watched = (self._process, client("logs"), ended)
        threading.Thread(target=self._watch, args=watched, daemon=True).start()

    @property
    def is_started(self) -> bool:
        return self._process is not None

    @property
    def process_id(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def health_check(self) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self.definition.get("healthCheck")
        return found

    def passes(self) -> bool:
        """Runs the health check's command. Returns whether it succeeds and the container's process still runs."""
        assert self.health_check is not None
        kind, *command = self.health_check["command"]
        if kind == "CMD-SHELL":
            command = ["/bin/sh", "-c", *command]
        try:
            checking = self._run(
                image_of(self.definition["image"]), command, out=subprocess.DEVNULL, errors=subprocess.DEVNULL
            )
            passed = checking.wait(int(self.health_check.get("timeout", 5))) == 0
            return passed and self._process is not None and self._process.poll() is None
        except CannotStart:
            return False
        except subprocess.TimeoutExpired:
            os.killpg(checking.pid, signal.SIGKILL)
            checking.wait()
            return False

    def _run(self, image: Image, command: Sequence[str], *, out: int, errors: int) -> "subprocess.Popen[bytes]":
        """Runs a command in the container. Raises `CannotStart`."""
        mounts = self.volumes.mounted(self.definition)
        program, *arguments = [here(each, {**image.paths, **mounts}) for each in command]
        variables = {each["name"]: str(each["value"]) for each in self.definition.get("environment", [])}
        try:
            return subprocess.Popen(
                [*self._confinement(), image.program(program), *arguments],
                cwd=image.folder,
                env={
                    "PATH": image.path,
                    "HOME": str(image.folder),
                    # The container's /tmp is a folder of this machine.
                    **({"TMPDIR": str(mounts["/tmp"])} if "/tmp" in mounts else {}),  # noqa: S108
                    "NODE_OPTIONS": f"--import={_OWN_ADDRESS.as_uri()}",
                    "BUN_OPTIONS": f'"--preload={_OWN_ADDRESS}"',
                    "TASK_ADDRESS": self.address,
                    **self.aws,
                    **{name: self._on_this_machine(value, mounts) for name, value in variables.items()},
                    **self.secrets,
                    **self.variables,
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            raise CannotStart(str(error)) from error

    def _confinement(self) -> Iterator[str]:
        """Prefix of the command that drops capabilities; only root has any."""
        if os.getuid() == 0:
            dropped = self.definition.get("linuxParameters", {}).get("capabilities", {}).get("drop", [])
            setpriv = shutil.which("setpriv")
            assert setpriv is not None, "install util-linux"
            yield from (setpriv, f"--bounding-set={','.join(f'-{each.lower()}' for each in dropped) or '+all'}")

    def _on_this_machine(self, value: str, mounts: Mapping[str, Path]) -> str:
        if value == _EVERY_ADDRESS:
            return self.address
        if _is_authority_of_rds(value):
            return Path(os.environ["SSL_CERT_FILE"]).read_text()
        return here(value, mounts)

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
                _end_what_is_left(process)
                time.sleep(0.05)  # the reader's last lines
            lines, self._lines[:] = list(self._lines), []
            if lines:
                events = [{"timestamp": when, "message": line or " "} for when, line in lines]
                logs.put_log_events(**where, logEvents=events)
            if over:
                return
            time.sleep(_FLUSH_SECONDS)

    def stop(self, patience_seconds: float) -> int | None:
        """Sends SIGTERM, then SIGKILL to the processes that still run. Returns the exit code that ECS would report."""
        process = self._process
        if process is None:
            return None
        if process.poll() is not None:
            return _exit_code(process)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _end_what_is_left(process)
        return _exit_code(process)


def _end_what_is_left(process: "subprocess.Popen[bytes]") -> None:
    """Kills the other processes: a container ends with its first one (pid_namespaces(7)), but `npx` leaves children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _exit_code(process: "subprocess.Popen[bytes]") -> int:
    """Exit code of a process that has ended; after a signal, 128 plus its number."""
    code = process.wait()
    return code if code >= 0 else 128 - code


def _is_authority_of_rds(value: str) -> bool:
    """Whether the value is Amazon's CA bundle. Here, the rehearsal's CA signs the databases' certificates."""
    if not value.startswith("-----BEGIN CERTIFICATE-----"):
        return False
    subjects = [each.subject.rfc4514_string() for each in x509.load_pem_x509_certificates(value.encode())]
    return all("OU=Amazon RDS" in each for each in subjects)
