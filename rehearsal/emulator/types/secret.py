"""AWS::SecretsManager::Secret: MiniStack puts punctuation into what was to be generated without."""

import string
from typing import Any

from ministack.services.cloudformation import provisioners


def install() -> None:
    own = provisioners._sm_secret_string

    def generated(properties: dict[str, Any]) -> Any:
        wanted = properties.get("GenerateSecretString")
        if wanted and str(wanted.get("ExcludePunctuation", "")).lower() == "true":
            excluded = wanted.get("ExcludeCharacters", "") + string.punctuation
            properties = {**properties, "GenerateSecretString": {**wanted, "ExcludeCharacters": excluded}}
        return own(properties)

    provisioners._sm_secret_string = generated
