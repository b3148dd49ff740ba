"""CloudFormation types that MiniStack lacks, or accepts where AWS refuses. One file each; `install` finds them all."""

import importlib
import pkgutil


def install() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}").install()
