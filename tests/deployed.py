"""An environment, deployed from the assembly of the other tests into an emulator and a zone of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config import load
from rehearsal.account import Account, opened


@contextmanager
def deployed(name: str, assembly: Path, folder: Path) -> Iterator[Account]:
    with opened(name, load([name])[name], folder) as account:
        cdk = account.cdk
        cdk.run("bootstrap", f"aws://{cdk.account}/{cdk.region}", "--app", str(assembly))
        account.prepare()
        cdk.run("deploy", f"{name}/*", "--app", str(assembly), "--require-approval", "never", "--concurrency", "4")
        yield account
