"""The real CDK CLI, pointed at the emulator."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simulators.aws.process import ROOT

_CDK = ROOT / "node_modules" / ".bin" / "cdk"


class CdkFailed(Exception):
    """The CLI failed; the message contains the end of its output."""

    def __init__(self, arguments: tuple[str, ...], code: int, output: str) -> None:
        self.output = output
        lines = output.strip().splitlines()
        # Starts at the CLI's summary, if there is one: the lines before it are all events of all resources.
        begin = next((i for i, line in enumerate(lines) if line.startswith("Failed resources:")), len(lines) - 25)
        tail = "\n".join(lines[max(0, begin) :])
        super().__init__(f"cdk {' '.join(arguments)} ended with {code}:\n{tail}")


@dataclass(frozen=True)
class CdkCli:
    """Runs the CLI as a person with access to the account would, with the emulator's endpoint."""

    account: str
    region: str
    workspace: Path
    endpoint: str | None = None
    """None for commands that do not call AWS."""
    access_key: tuple[str, str] | None = None
    """Id and secret of the access key; None for the root of the account."""
    session_token: str | None = None
    """Session token of a temporary access key."""

    @property
    def credentials(self) -> dict[str, str]:
        # The emulator takes a twelve-digit access key for the root of that account.
        key, secret = self.access_key or (self.account, "rehearsal")
        temporary = {"AWS_SESSION_TOKEN": self.session_token} if self.session_token else {}
        return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": self.region, **temporary}

    def bootstrap(self, assembly: Path) -> None:
        """Bootstraps the account and the region. Raises `CdkFailed`."""
        self.run("bootstrap", f"aws://{self.account}/{self.region}", "--app", str(assembly))

    def deploy(self, assembly: Path, *stacks: str, options: Sequence[str] = ()) -> str:
        """Deploys the stacks that match these patterns, without approval. Returns the output. Raises `CdkFailed`."""
        unattended = ("--require-approval", "never", "--concurrency", "4")
        return self.run("deploy", *stacks, "--app", str(assembly), *unattended, *options)

    def run(self, *arguments: str, validated: bool = True) -> str:
        """Runs any other command, and returns its output. Raises `CdkFailed`."""
        environment = {
            **os.environ,
            # The CLI caches the account of each key; each emulator needs its own cache.
            "CDK_HOME": str(self.workspace / "home"),
            "NODE_NO_WARNINGS": "1",
            "CI": "true",
            "CDK_VALIDATION": str(validated).lower(),
            **({"AWS_ENDPOINT_URL": self.endpoint, **self.credentials} if self.endpoint else {}),
        }
        done = subprocess.run(
            [str(_CDK), "--no-color", "--no-notices", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        with (self.workspace / "cdk.log").open("a") as log:
            log.write(f"$ cdk {' '.join(arguments)}\n{done.stdout}\n")
        if done.returncode != 0:
            raise CdkFailed(arguments, done.returncode, done.stdout)
        return done.stdout
