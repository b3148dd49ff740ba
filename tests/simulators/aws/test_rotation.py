"""A schedule that does not rotate at once is tried by testSecret, and leaves the secret as it was."""

import io
import json
from typing import Any

import pytest

from simulators.aws import rotation


class Functions:
    """A rotation function that reads the pending version."""

    def __init__(self, secret: dict[str, Any], *, needs_a_value: bool) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._secret, self._needs_a_value = secret, needs_a_value

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        event = json.loads(Payload)
        version = self._secret["Versions"][event["ClientRequestToken"]]
        assert version["Stages"] == ["AWSPENDING"]
        self.asked.append((event["Step"], version.get("SecretString")))
        fails = self._needs_a_value and "SecretString" not in version
        return {"Payload": io.BytesIO(b"no value"), **({"FunctionError": "Unhandled"} if fails else {})}


@pytest.mark.parametrize("needs_a_value", [False, True])
def test_a_new_schedule_is_tried_without_and_with_a_value(needs_a_value: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    current = {"SecretString": "s", "Stages": ["AWSCURRENT"]}
    secret = {"ARN": "arn", "Versions": {"first": current}}
    functions = Functions(secret, needs_a_value=needs_a_value)
    monkeypatch.setattr(rotation, "client", lambda _: functions)
    failure = rotation.failure_of_trial("function", secret)
    assert failure == ("no value" if needs_a_value else None)
    assert functions.asked == [("testSecret", None), ("testSecret", "s")][: 1 if needs_a_value else 2]
    assert secret["Versions"] == {"first": current}
