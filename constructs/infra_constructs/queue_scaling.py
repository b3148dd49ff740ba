"""Scales a worker with its waiting jobs."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra_constructs.alarms.services import insight
from infra_constructs.service import Autoscaled

_SCALE_OUT_COOLDOWN, _SCALE_IN_COOLDOWN = cdk.Duration.seconds(60), cdk.Duration.minutes(5)


@dataclass(frozen=True, kw_only=True)
class QueueProps:
    """What an environment may choose."""

    waiting: cloudwatch.Metric
    """How many jobs wait."""
    jobs_per_task: int


class QueueScaling(Construct):
    """Keeps the jobs that wait for each running task near a number (Application Auto Scaling user guide, "Create a
    target tracking scaling policy using metric math").

    Without data nothing changes: target tracking takes no data for no low use (ECS developer guide, "Target tracking").
    That, and a division by the running tasks, need at least one task.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        cluster: ecs.ICluster,
        service: ecs.FargateService,
        tasks: Autoscaled,
        props: QueueProps,
    ) -> None:
        super().__init__(scope, id_)
        count = service.auto_scale_task_count(min_capacity=tasks.min_tasks, max_capacity=tasks.max_tasks)
        target = count.node.find_child("Target")
        assert isinstance(target, scaling.ScalableTarget)
        running = insight(
            "RunningTaskCount", {"ClusterName": cluster.cluster_name, "ServiceName": service.service_name}
        )
        policy = scaling.CfnScalingPolicy
        # An L1: CDK's policies take one metric and no expression.
        policy(
            self,
            "Policy",
            policy_name=cdk.Names.unique_id(self),
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.scalable_target_id,
            target_tracking_scaling_policy_configuration=policy.TargetTrackingScalingPolicyConfigurationProperty(
                target_value=props.jobs_per_task,
                scale_out_cooldown=_SCALE_OUT_COOLDOWN.to_seconds(),
                scale_in_cooldown=_SCALE_IN_COOLDOWN.to_seconds(),
                customized_metric_specification=policy.CustomizedMetricSpecificationProperty(
                    metrics=[
                        _query("waiting", props.waiting),
                        _query("running", running),
                        policy.TargetTrackingMetricDataQueryProperty(
                            id="jobs_per_task",
                            expression="waiting / running",
                            label="jobs that wait for each task",
                            return_data=True,
                        ),
                    ]
                ),
            ),
        )


def _query(id_: str, metric: cloudwatch.Metric) -> scaling.CfnScalingPolicy.TargetTrackingMetricDataQueryProperty:
    policy = scaling.CfnScalingPolicy
    return policy.TargetTrackingMetricDataQueryProperty(
        id=id_,
        return_data=False,
        metric_stat=policy.TargetTrackingMetricStatProperty(
            stat=metric.statistic,
            metric=policy.TargetTrackingMetricProperty(
                namespace=metric.namespace,
                metric_name=metric.metric_name,
                dimensions=[
                    policy.TargetTrackingMetricDimensionProperty(name=name, value=value)
                    for name, value in (metric.dimensions or {}).items()
                ],
            ),
        ),
    )
