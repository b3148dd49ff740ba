"""How long a minute lasts, and whether anybody looks at alarms meanwhile."""

import os
from pathlib import Path

from simulators.aws import LIVE, MINUTE


def is_live() -> bool:
    """From the moment when the file that `LIVE` names exists."""
    return Path(os.environ.get(LIVE) or "/nonexistent").exists()


def minute_seconds() -> float:
    """Of ECS's bake time, which would be a quarter of an hour in a rehearsal."""
    return 60.0 if is_live() else float(os.environ[MINUTE])
