"""Unpacks each archive of Lambda code once. MiniStack would unpack 900 files for each new worker: half a second."""

import threading
import zipfile
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime

_folders: dict[str, Path] = {}
_unpacking = threading.Lock()


class _UnpackedOnce(zipfile.ZipFile):
    """All workers share one folder, read-only in Lambda, and the bytecode that Python writes there."""

    def extractall(self, path: Any = None, members: Any = None, pwd: bytes | None = None) -> None:
        target = Path(path)
        target.rmdir()
        target.symlink_to(self._folder())

    def _folder(self) -> Path:
        digest = sha256(Path(str(self.filename)).read_bytes()).hexdigest()
        with _unpacking:
            if digest not in _folders:
                folder = Path(mkdtemp(prefix="unpacked-"))
                super().extractall(folder)
                _folders[digest] = folder
            return _folders[digest]


def install() -> None:
    lambda_runtime.zipfile = SimpleNamespace(**{**vars(zipfile), "ZipFile": _UnpackedOnce})
