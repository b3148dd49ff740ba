"""Environments of the tests, each deployed into an emulator and a zone of its own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any

from config import ENVIRONMENTS, Environment, load
from rehearsal.account import Account, opened
from rehearsal.variants import with_queue, with_secrets

# Secret of each variable, by service of `development`.
_SECRETS = {
    "api": {
        "SESSION_SECRET": "daadaar/app:session",
        "SESSION_SECRET_PREVIOUS": "daadaar/app:session_previous",
        "MAIL_KEY": "daadaar/app:mail",
    },
    "frontend": {"CRM_KEY": "daadaar/crm"},
}


@contextmanager
def deployed(name: str, environment: Environment, assembly: Path, folder: Path) -> Iterator[Account]:
    with opened(name, environment, folder) as account:
        # Tests give more commands in five minutes than a person, and would wait for the rest of them.
        account.cloudflare.allowed = inf
        account.cdk.bootstrap(assembly)
        account.prepare()
        account.cdk.deploy(assembly, f"{name}/*")
        yield account


@contextmanager
def development(context: Mapping[str, Any], folder: Path) -> Iterator[Account]:
    """dev with additions that the tests' environments lack: a queue with a worker, and services' secrets."""
    import aws_cdk as cdk

    import app

    queue = with_queue(ENVIRONMENTS, "dev", into=folder / "queue")
    environment = load(["dev"], directory=with_secrets(queue, "dev", _SECRETS, into=folder / "environments"))["dev"]
    # The checks for leaked secrets expect the assembly here.
    root = cdk.App(context=dict(context), outdir=str(folder / "cdk.out"))
    app.build(root, {"dev": environment})
    with deployed("dev", environment, Path(root.synth().directory), folder) as account:
        yield account
