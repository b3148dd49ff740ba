"""AWS::ElasticLoadBalancingV2::TargetGroup: MiniStack leaves the first part of its full name out.

CloudFormation's reference, "Return values": targetgroup/my-target-group/cbf133c568e0d028. Metrics go by it.
"""

from ministack.services import alb


def full_name(arn: str) -> str:
    return arn.rpartition(":")[2]


def install() -> None:
    alb._target_group_full_name_from_arn = full_name
