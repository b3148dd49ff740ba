"""AWS::SecretsManager::ResourcePolicy."""

import json

from simulators.aws.resource_type import Properties, Provisioned, client, register


class SecretPolicy:
    name = "AWS::SecretsManager::ResourcePolicy"

    def create(self, properties: Properties) -> Provisioned:
        client("secretsmanager").put_resource_policy(
            SecretId=properties["SecretId"],
            ResourcePolicy=json.dumps(properties["ResourcePolicy"]),
            BlockPublicPolicy=bool(properties.get("BlockPublicPolicy")),
        )
        return Provisioned(properties["SecretId"])

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self.create(new)

    def delete(self, physical_id: str, properties: Properties) -> None:
        client("secretsmanager").delete_resource_policy(SecretId=physical_id)


def install() -> None:
    register(SecretPolicy())
