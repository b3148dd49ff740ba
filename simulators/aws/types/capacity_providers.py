"""AWS::ECS::ClusterCapacityProviderAssociations."""

from simulators.aws.resource_type import Properties, Provisioned, client, register


class CapacityProviderAssociations:
    name = "AWS::ECS::ClusterCapacityProviderAssociations"

    def create(self, properties: Properties) -> Provisioned:
        client("ecs").put_cluster_capacity_providers(
            cluster=properties["Cluster"],
            capacityProviders=list(properties.get("CapacityProviders", [])),
            defaultCapacityProviderStrategy=[
                {key[0].lower() + key[1:]: value for key, value in item.items()}
                for item in properties.get("DefaultCapacityProviderStrategy", [])
            ],
        )
        return Provisioned(properties["Cluster"])

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self.create(new)

    def delete(self, physical_id: str, properties: Properties) -> None:
        client("ecs").put_cluster_capacity_providers(
            cluster=physical_id, capacityProviders=[], defaultCapacityProviderStrategy=[]
        )


def install() -> None:
    register(CapacityProviderAssociations())
