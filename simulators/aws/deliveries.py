"""Messages delivered to people through topics: e-mails and Slack messages. The emulator records them in a file."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class DeliveredMessage:
    to: str
    """An e-mail address, or the id of a Slack channel."""
    topic: str
    """ARN."""
    subject: str
    text: str
    dropped: str | None = None
    """The reason why Amazon Q shows nothing in the channel."""
    at: float = field(default_factory=time.time, compare=False)
    """When it was delivered; seconds since 1970."""


def write(file: Path, delivery: DeliveredMessage) -> None:
    with file.open("a") as opened:
        opened.write(json.dumps(asdict(delivery)) + "\n")


def read(file: Path) -> list[DeliveredMessage]:
    """All recorded messages, the oldest first."""
    return [DeliveredMessage(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []
