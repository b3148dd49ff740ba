"""A minimal product and its images: on Node.js or on Bun, with or without the application contract."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from rehearsal.product.asked import CONTRACT, ImageContract

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
LONE = _HERE / "lone.py"
"""Source of an image that contains one program."""

# Drizzle applies migrations that are younger than the last applied one, and compares nothing else.
_BEGINNING = 1_700_000_000_000
_ages: dict[tuple[str, ...], int] = {}

FIRST = "create table visitors (id bigint generated always as identity primary key, name text not null)"


def build(folder: Path, migrations: Sequence[str] = (FIRST,), *, asked: ImageContract = CONTRACT) -> Path:
    """What an image has in its working directory, with these migrations in Drizzle's own form, in this order.

    If more is asked of it than the product answers by itself, it has the client of docs/redis-client.md, too.
    """
    shutil.copytree(_HERE, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    if not asked.is_of_the_product:
        shutil.copy(_ROOT / "docs" / "redis-client.mjs", folder)
    asked.write(folder)
    (folder / "node_modules").symlink_to(_ROOT / "node_modules")
    meta = folder / "migrations" / "meta"
    meta.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, statements in enumerate(migrations):
        history = tuple(migrations[: number + 1])
        # Dated as if a person had generated it once, after all earlier migrations.
        age = _ages.setdefault(history, _BEGINNING if number == 0 else int(time.time() * 1000) + len(_ages))
        tag = f"{number:04}_step"
        (folder / "migrations" / f"{tag}.sql").write_text(statements)
        entries.append({"idx": number, "version": "7", "when": age, "tag": tag, "breakpoints": True})
    journal = {"version": "7", "dialect": "postgresql", "entries": entries}
    (meta / "_journal.json").write_text(json.dumps(journal))
    return folder


def command(asked: ImageContract = CONTRACT, *, bun: bool = False) -> tuple[str, ...]:
    """Command that an image runs."""
    return ("bun" if bun else "node", "server.mjs" if asked.is_of_the_product else "contract.mjs")


def programs_of_bun(folder: Path) -> Path:
    """A folder to come first in an image's PATH: `bun`, and, as in the image oven/bun, Bun by the name of `node`.

    Raises `LookupError` where npm has not installed it.
    """
    modules = _ROOT / "node_modules"
    # The package's own script moves it; where npm runs none, it is in a package of the platform still.
    found = [*modules.glob("@oven/bun-linux-*/bin/bun"), modules / "bun" / "bin" / "bun.exe"]
    program = next((each for each in found if each.exists()), None)
    if program is None:
        raise LookupError("Bun is missing: make setup installs it")
    folder.mkdir(exist_ok=True)
    for name in ("bun", "node"):
        if not (folder / name).exists():
            (folder / name).symlink_to(program)
    return folder
