"""A product as small as can be, and the images that are built of it."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
_ROOT = HERE.parents[1]

# Drizzle applies what is younger than the last that it has applied, and compares nothing else.
_BEGINNING = 1_700_000_000_000
_ages: dict[tuple[str, ...], int] = {}

FIRST = "create table visitors (id bigint generated always as identity primary key, name text not null)"


def build(folder: Path, migrations: Sequence[str] = (FIRST,)) -> Path:
    """What an image has in its working directory, with these migrations in Drizzle's own form, in this order."""
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copy(_ROOT / "docs" / "redis-client.mjs", folder)
    (folder / "node_modules").symlink_to(_ROOT / "node_modules")
    meta = folder / "migrations" / "meta"
    meta.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, statements in enumerate(migrations):
        history = tuple(migrations[: number + 1])
        # As when a person has generated it: once, and after everything that was there.
        age = _ages.setdefault(history, _BEGINNING if number == 0 else int(time.time() * 1000) + len(_ages))
        tag = f"{number:04}_step"
        (folder / "migrations" / f"{tag}.sql").write_text(statements)
        entries.append({"idx": number, "version": "7", "when": age, "tag": tag, "breakpoints": True})
    journal = {"version": "7", "dialect": "postgresql", "entries": entries}
    (meta / "_journal.json").write_text(json.dumps(journal))
    return folder
