"""AWS::SecretsManager::RotationSchedule: remembered, and refused where Secrets Manager may not call the function.

Refused here, too: a function that fails in the trial. What CloudFormation makes of it is not documented; the function's
alarm goes off either way.
"""

from typing import Any

from ministack.services import secretsmanager

from simulators.aws.conditions import Condition, is_on
from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, register
from simulators.aws.rotation import failure_of_trial
from simulators.aws.service_principals import may_rotate


class RotationSchedule:
    name = "AWS::SecretsManager::RotationSchedule"

    def create(self, properties: Properties) -> Provisioned:
        secret = self._secret(properties["SecretId"])
        if is_on(Condition.IAM) and (refusal := may_rotate(properties["RotationLambdaARN"])):
            raise ResourceRefused(refusal)
        secret["RotationEnabled"] = True
        secret["RotationLambdaARN"] = properties["RotationLambdaARN"]
        secret["RotationRules"] = dict(properties["RotationRules"])
        at_once = str(properties.get("RotateImmediatelyOnUpdate", True)).lower() == "true"
        if not at_once and (failure := failure_of_trial(properties["RotationLambdaARN"], secret)):
            raise ResourceRefused(f"The rotation function failed in testSecret: {failure}")
        return Provisioned(properties["SecretId"])

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self.create(new)

    def delete(self, physical_id: str, properties: Properties) -> None:
        _, secret = secretsmanager._resolve(properties["SecretId"])
        if secret:
            secret["RotationEnabled"] = False

    @staticmethod
    def _secret(identity: str) -> Any:
        _, secret = secretsmanager._resolve(identity)
        if not secret:
            raise ResourceRefused("Secrets Manager can't find the specified secret.")
        return secret


def install() -> None:
    register(RotationSchedule())
