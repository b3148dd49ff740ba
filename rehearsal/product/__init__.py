"""A product as small as can be, and the images that are built of it."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
_ROOT = HERE.parents[1]

FIRST = "create table visitors (id bigint generated always as identity primary key, name text not null)"


def build(folder: Path, migrations: Sequence[str] = (FIRST,)) -> Path:
    """What an image has in its working directory, with these migrations in Drizzle's own form, in this order."""
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "node_modules").symlink_to(_ROOT / "node_modules")
    meta = folder / "migrations" / "meta"
    meta.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, statements in enumerate(migrations):
        tag = f"{number:04}_step"
        (folder / "migrations" / f"{tag}.sql").write_text(statements)
        entries.append(
            {"idx": number, "version": "7", "when": 1_700_000_000_000 + number, "tag": tag, "breakpoints": True}
        )
    journal = {"version": "7", "dialect": "postgresql", "entries": entries}
    (meta / "_journal.json").write_text(json.dumps(journal))
    return folder
