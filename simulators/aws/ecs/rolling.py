"""A rolling deployment, for services without a load balancer."""

from simulators.aws.ecs import task
from simulators.aws.ecs.deployment import Deployment


class Rolling(Deployment):
    """New tasks first, as `minimumHealthyPercent` is 100 (ECS Developer Guide, "Rolling update").

    A task is healthy once it is RUNNING, or, where its container has a health check, once that has passed. The circuit
    breaker does not count tasks that end after that (AWS re:Post, "ecs-deployment-roll-back-failure";
    aws/containers-roadmap #1206): they are replaced for ever.
    """

    unhealthy = task.UNHEALTHY

    def _forward(self) -> None:
        self._launch()

    def _undo(self, before: Deployment) -> None:
        pass

    def _is_healthy(self, arn: str) -> bool:
        return task.is_healthy(arn)

    def _route(self) -> None:
        pass
