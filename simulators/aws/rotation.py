"""RotateSecret invokes the rotation function in four steps, as Secrets Manager does; MiniStack promotes a copy at once.

A version begins without a value, and GetSecretValue does not find it (API Reference, RotateSecret: "empty version").
"""

import contextvars
import json
import threading
import time
import uuid
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import secretsmanager

from simulators.aws.resource_type import client

_STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


def install() -> None:
    secretsmanager._rotate_secret = _rotate
    own = secretsmanager._get_secret_value

    def get(request: dict[str, Any]) -> Any:
        answer = own(request)
        if answer[0] == 200 and not {"SecretString", "SecretBinary"} & set(json.loads(answer[2])):
            return error_response_json(
                "ResourceNotFoundException", "Secrets Manager can't find the specified secret value.", 400
            )
        return answer

    secretsmanager._get_secret_value = get


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
    _begin(secret, version)
    arguments = (function, secret["ARN"], version)
    # The steps call this emulator, which first has to answer this request.
    threading.Thread(target=contextvars.copy_context().run, args=(_steps, *arguments), daemon=True).start()
    return json_response({"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": version})


def _steps(function: str, secret: str, version: str) -> None:
    for step in _STEPS:
        if _failure(function, secret, version, step):
            return


def failure_of_trial(function: str, secret: Any) -> str | None:
    """A schedule that does not rotate at once is tried by testSecret alone, with a version that goes again (API
    Reference, RotateSecret). Whether it has a value is not documented: here, the step runs both ways.
    """
    current = next(each for each in secret["Versions"].values() if "AWSCURRENT" in each["Stages"])
    for value in ({}, {key: current[key] for key in ("SecretString", "SecretBinary") if key in current}):
        version = str(uuid.uuid4())
        _begin(secret, version, value)
        try:
            if failure := _failure(function, secret["ARN"], version, "testSecret"):
                return failure
        finally:
            del secret["Versions"][version]
    return None


def _begin(secret: Any, version: str, value: dict[str, Any] | None = None) -> None:
    secretsmanager._remove_stage_everywhere(secret, "AWSPENDING")
    made = {"CreatedDate": int(time.time()), "Stages": ["AWSPENDING"]}
    secret["Versions"][version] = {**made, **(value or {})}


def _failure(function: str, secret: str, version: str, step: str) -> str | None:
    event = {"SecretId": secret, "ClientRequestToken": version, "Step": step}
    answer = client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    return answer["Payload"].read().decode() if "FunctionError" in answer else None
