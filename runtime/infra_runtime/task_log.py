"""The last lines that a task's container wrote before it ended."""

import logging
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra_runtime.contract.revision import containers_of, log_of, named
from infra_runtime.release.log_text import plain

logger = logging.getLogger(__name__)

_ATTEMPTS = 5


def last_lines(
    ecs: Any,
    logs: Any,
    *,
    task: str,
    definition: str,
    container: str,
    most: int,
    is_expected: bool,
    sleep: Callable[[float], None],
) -> list[str]:
    """At most `most` of them; none if the container never ran, wrote nothing, or its log cannot be read.

    `task` and `definition` are ARNs; the definition is the task's own, as a release may have brought another. Log lines
    arrive a little later than the event of the task's end: where they are expected, it reads up to five times, a second
    apart.
    """
    try:
        stream = log_of(named(containers_of(ecs, definition), container), task)
        for attempt in range(_ATTEMPTS if is_expected else 1):
            if attempt:
                sleep(1)
            try:
                found = logs.get_log_events(**stream, startFromHead=False, limit=most)["events"]
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise
                continue
            if found:
                return [plain(each["message"]) for each in found]
    except (BotoCoreError, ClientError) as error:
        # What has ended is recorded all the same.
        logger.warning("%s: its log cannot be read: %s", task, error)
    return []
