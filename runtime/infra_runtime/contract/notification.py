"""A notification of our own, in the one form that e-mail, Slack and the webhook all show.

Amazon Q Developer in chat applications shows AWS's own messages and its custom notifications, and drops everything
else (administrator guide, "Custom notifications using Amazon Q Developer in chat applications").
"""

from collections.abc import Sequence
from typing import Any


def custom(title: str, description: str, *, next_steps: Sequence[str] = ()) -> dict[str, Any]:
    """A custom notification, Amazon Q's schema version 1.0; e-mail shows it as JSON, so what matters comes first."""
    content: dict[str, Any] = {"title": title, "description": description}
    if next_steps:
        content["nextSteps"] = list(next_steps)
    return {"version": "1.0", "source": "custom", "content": content}
