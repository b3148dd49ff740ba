"""AWS::SecretsManager::Secret: MiniStack's `Ref` is the name, and it ignores ExcludePunctuation."""

import string
from typing import Any

from ministack.services import secretsmanager
from ministack.services.cloudformation import drift, provisioners

from simulators.aws.resource_type import extend


def install() -> None:
    own_string = provisioners._sm_secret_string

    def generated(properties: dict[str, Any]) -> Any:
        wanted = properties.get("GenerateSecretString")
        if wanted and str(wanted.get("ExcludePunctuation", "")).lower() == "true":
            excluded = wanted.get("ExcludeCharacters", "") + string.punctuation
            properties = {**properties, "GenerateSecretString": {**wanted, "ExcludeCharacters": excluded}}
        return own_string(properties)

    def name_of(arn: str) -> str:
        name, _ = secretsmanager._resolve(arn)
        return str(name)

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        _, attributes = own["create"](logical_id, properties, stack_name)
        return attributes["Arn"], attributes

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> tuple[str, dict[str, Any]]:
        name, attributes = own["update"](name_of(physical_id), old, new, *rest)
        return secretsmanager._secrets[name]["ARN"], attributes

    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        own["delete"](name_of(physical_id), properties)

    own_reader, compared = drift._DRIFT_READERS["AWS::SecretsManager::Secret"]
    drift._DRIFT_READERS["AWS::SecretsManager::Secret"] = (lambda arn, given: own_reader(name_of(arn), given), compared)
    provisioners._sm_secret_string = generated
    own = extend("AWS::SecretsManager::Secret", create=create, update=update, delete=delete)
