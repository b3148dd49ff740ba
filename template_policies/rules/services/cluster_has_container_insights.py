"""The cluster publishes metrics of each container."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

ASSOCIATIONS = "AWS::ECS::ClusterCapacityProviderAssociations"


@policy(
    reason="Alarms about running tasks and memory read Container Insights; without it they have no data (FSBP ECS.12).",
    failure=Failure.UNOBSERVED,
    reads={"AWS::ECS::Cluster": ("ClusterSettings",), ASSOCIATIONS: ("CapacityProviders", "Cluster")},
)
def check(graph: Graph) -> Iterator[Violation]:
    providers = {each.target("Cluster"): set(each.items("CapacityProviders")) for each in graph.of(ASSOCIATIONS)}
    for cluster in graph.of("AWS::ECS::Cluster"):
        yield from cluster.expect("ClusterSettings", [{"Name": "containerInsights", "Value": "enhanced"}])
        if providers.get(cluster) != {"FARGATE", "FARGATE_SPOT"}:
            yield cluster.violation(
                "CapacityProviders", "must be FARGATE and FARGATE_SPOT: a service names one of them"
            )
