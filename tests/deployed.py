"""An environment, deployed from the shared assembly into an emulator and a zone of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config import load
from rehearsal.account import Account, opened


@contextmanager
def deployed(name: str, assembly: Path, folder: Path) -> Iterator[Account]:
    with opened(name, load([name])[name], folder) as account:
        account.cdk.bootstrap(assembly)
        account.prepare()
        account.cdk.deploy(assembly, f"{name}/*")
        yield account
