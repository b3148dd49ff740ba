"""RotateSecret asks the rotation function in four steps, as Secrets Manager does; MiniStack promotes a copy at once."""

import contextvars
import json
import threading
import uuid
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import secretsmanager

from simulators.aws.resource_type import client

_STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


def install() -> None:
    secretsmanager._rotate_secret = _rotate


def _rotate(request: dict[str, Any]) -> Any:
    """A failing step ends the rotation; the secret stays as it is (Secrets Manager User Guide, "Rotation function")."""
    _, secret = secretsmanager._resolve(request.get("SecretId"))
    if secret is None:
        return error_response_json("ResourceNotFoundException", "Secrets Manager can't find the specified secret.", 400)
    function = request.get("RotationLambdaARN") or secret.get("RotationLambdaARN")
    if not function:
        return error_response_json(
            "InvalidRequestException", "No Lambda rotation function ARN is associated with this secret.", 400
        )
    version = request.get("ClientRequestToken") or str(uuid.uuid4())
    arguments = (function, secret["ARN"], version)
    # The steps ask this emulator back, which answers this request first.
    threading.Thread(target=contextvars.copy_context().run, args=(_steps, *arguments), daemon=True).start()
    return json_response({"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": version})


def _steps(function: str, secret: str, version: str) -> None:
    functions = client("lambda")
    for step in _STEPS:
        event = {"SecretId": secret, "ClientRequestToken": version, "Step": step}
        if "FunctionError" in functions.invoke(FunctionName=function, Payload=json.dumps(event).encode()):
            return
