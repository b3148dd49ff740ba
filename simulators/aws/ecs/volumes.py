"""Volumes that the containers of one task share: folders of this machine."""

import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_READ_ONLY = 0o555


@dataclass(frozen=True)
class Volumes:
    folder: Path

    @classmethod
    def of(cls, definition: Mapping[str, Any], task: str) -> "Volumes":
        """Empty volumes of root, with mode 0755 (ECS Developer Guide, "Use bind mounts with Amazon ECS")."""
        made = cls(Path(os.environ["TMPDIR"]) / f"volumes-{task}")
        for each in definition.get("volumes", []):
            (made.folder / each["name"]).mkdir(parents=True, mode=0o755)
        return made

    def mounted(self, container: Mapping[str, Any]) -> dict[str, Path]:
        """Folders by path in the container. All have the same owner here, so modes deny the owner instead of others."""
        found = {}
        for each in container.get("mountPoints", []):
            volume = self.folder / each["sourceVolume"]
            is_root = str(container.get("user", "0")).partition(":")[0] in ("0", "root")
            if each.get("readOnly"):
                for path in (volume, *volume.rglob("*")):
                    path.chmod(path.stat().st_mode & _READ_ONLY)
            elif not is_root and not volume.stat().st_mode & stat.S_IWOTH:
                volume.chmod(_READ_ONLY)
            found[each["containerPath"]] = volume
        return found

    def remove(self) -> None:
        for each in [path for path in self.folder.rglob("*") if path.is_dir() and not path.is_symlink()]:
            each.chmod(0o755)
        shutil.rmtree(self.folder, ignore_errors=True)


def here(text: str, mounts: Mapping[str, Path]) -> str:
    """A container's path as the path on this machine; any other text unchanged."""
    for path, folder in mounts.items():
        if text == path or text.startswith(f"{path}/"):
            return f"{folder}{text.removeprefix(path)}"
    return text
