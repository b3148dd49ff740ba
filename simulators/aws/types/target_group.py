"""AWS::ElasticLoadBalancingV2::TargetGroup: MiniStack omits the first part of its full name.

CloudFormation's reference, "Return values": targetgroup/my-target-group/cbf133c568e0d028. Metrics go by it.

Another health check holds at once for targets that are registered (ELB API Reference, ModifyTargetGroup).
"""

from typing import Any

from ministack.services import alb

from simulators.aws.ecs import blue_green
from simulators.aws.resource_type import extend


def full_name(arn: str) -> str:
    return arn.rpartition(":")[2]


def install() -> None:
    alb._target_group_full_name_from_arn = full_name
    own_modify = alb._modify_tg

    def update(physical_id: str, *rest: Any, **more: Any) -> Any:
        was = alb._tgs[physical_id].get("HealthCheckPath")
        answered = own["update"](physical_id, *rest, **more)
        if alb._tgs.get(physical_id, {}).get("HealthCheckPath") not in (None, was):
            blue_green.ask_again(physical_id)
        return answered

    def modify(parameters: Any) -> Any:
        answered = own_modify(parameters)
        blue_green.ask_again(alb._p(parameters, "TargetGroupArn"))
        return answered

    own = extend("AWS::ElasticLoadBalancingV2::TargetGroup", update=update)
    alb._ACTION_MAP["ModifyTargetGroup"] = modify
