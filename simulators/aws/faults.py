"""Makes a resource type fail on purpose, so that a rollback can be rehearsed.

The file named by `REHEARSAL_FAULTS` maps resource types to AWS's error message; it is read at each operation.
"""

import json
import os
from pathlib import Path
from typing import Any

from ministack.services.cloudformation import provisioners

from simulators.aws import FAULTS
from simulators.aws.resource_type import ResourceRefused


def install() -> None:
    for name, handler in provisioners._RESOURCE_HANDLERS.items():
        if "update" in handler:
            provisioners._RESOURCE_HANDLERS[name] = {**handler, "update": _failing_on_purpose(name, handler["update"])}


def _failing_on_purpose(name: str, update: Any) -> Any:
    def guarded(*arguments: Any) -> Any:
        file = os.environ.get(FAULTS)
        if file and Path(file).exists():
            faults = json.loads(Path(file).read_text())
            if name in faults:
                # Once only: the rollback that follows must be able to succeed.
                Path(file).write_text(json.dumps({key: value for key, value in faults.items() if key != name}))
                raise ResourceRefused(faults[name])
        return update(*arguments)

    return guarded
