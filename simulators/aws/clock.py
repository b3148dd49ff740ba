"""How long a simulated minute lasts, and whether alarms are evaluated in it."""

import os
from pathlib import Path

from simulators.aws import LIVE, MINUTE


def is_live() -> bool:
    """Whether alarms are evaluated: as soon as the file that `LIVE` names exists."""
    file = os.environ.get(LIVE)
    return bool(file and Path(file).exists())


def minute_seconds() -> float:
    """How long a minute of ECS's bake time takes: a rehearsal would otherwise wait a quarter of an hour."""
    return 60.0 if is_live() else float(os.environ[MINUTE])
