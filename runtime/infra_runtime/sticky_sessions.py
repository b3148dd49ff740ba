"""The custom resource behind sticky sessions: a user's requests go to one task of a service for a while.

Not properties of rule and target groups: ECS moves the weights of the rule, and a rule that CloudFormation changes gets
the weights of the template again (docs/adr/0004). And Elastic Load Balancing wants an order that CloudFormation cannot
give: stickiness of a target group is refused while a rule with several of them has none ("You must enable group
stickiness before enabling target stickiness", kubernetes-sigs/aws-load-balancer-controller #2734).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from infra_runtime.aws import client
from infra_runtime.custom_resource import Request, Result, serve
from infra_runtime.reporting import reported

# No user should stay between blue and green; the shortest is one second (API reference, TargetGroupStickinessConfig).
# That cookie goes before weights: after a release, users would get 503 of a group without tasks until it expires.
_BETWEEN_GROUPS = {"Enabled": True, "DurationSeconds": 1}


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    serve(event, lambda request: converge(request, client("elbv2")))


def converge(request: Request, balancer: Any) -> Result:
    """`Rules` and `TargetGroups` are ARNs; `Minutes` is how long a user stays. Raises what boto3 raises."""
    rules, groups = request.properties["Rules"], request.properties["TargetGroups"]
    if request.kind == "Delete":
        _set_targets(balancer, groups, {"stickiness.enabled": "false"})
        _set_groups(balancer, rules, {"Enabled": False})
    else:
        _set_groups(balancer, rules, _BETWEEN_GROUPS)
        seconds = int(request.properties["Minutes"]) * 60
        _set_targets(
            balancer,
            groups,
            {
                "stickiness.enabled": "true",
                "stickiness.type": "lb_cookie",
                "stickiness.lb_cookie.duration_seconds": str(seconds),
            },
        )
    return Result(request.physical_id or f"sticky/{rules[0]}")


def _set_groups(balancer: Any, rules: Sequence[str], stickiness: Mapping[str, Any]) -> None:
    """Sets the stickiness between groups, and keeps the weights."""
    for rule in balancer.describe_rules(RuleArns=list(rules))["Rules"]:
        (action,) = rule["Actions"]
        forward = action["ForwardConfig"]
        if forward.get("TargetGroupStickinessConfig") == stickiness:
            continue
        changed = {
            "Type": "forward",
            "ForwardConfig": {
                "TargetGroups": forward["TargetGroups"],
                "TargetGroupStickinessConfig": dict(stickiness),
            },
        }
        balancer.modify_rule(RuleArn=rule["RuleArn"], Actions=[changed])


def _set_targets(balancer: Any, groups: Sequence[str], attributes: Mapping[str, str]) -> None:
    wanted = [{"Key": key, "Value": value} for key, value in attributes.items()]
    for group in groups:
        balancer.modify_target_group_attributes(TargetGroupArn=group, Attributes=wanted)
