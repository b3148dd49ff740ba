"""AWS::ElasticLoadBalancingV2::ListenerRule: MiniStack drops a rule's target groups, their weights and stickiness.

Elastic Load Balancing refuses stickiness of a target group while a rule that uses it has no stickiness between groups
(kubernetes-sigs/aws-load-balancer-controller #2734).
"""

from typing import Any

from ministack.services import alb
from ministack.services.cloudformation import provisioners


def _forward(groups: list[dict[str, Any]], stickiness: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "TargetGroups": [
            {"TargetGroupArn": each["TargetGroupArn"], "Weight": int(each.get("Weight", 1))} for each in groups
        ],
        "TargetGroupStickinessConfig": stickiness or {"Enabled": False},
    }


def _forward_in(parameters: Any, prefix: str) -> dict[str, Any] | None:
    """ForwardConfig of a ModifyRule call."""
    own = alb._p
    groups: list[dict[str, Any]] = []
    while arn := own(parameters, f"{prefix}.TargetGroups.member.{len(groups) + 1}.TargetGroupArn"):
        weight = own(parameters, f"{prefix}.TargetGroups.member.{len(groups) + 1}.Weight", "1")
        groups.append({"TargetGroupArn": arn, "Weight": weight})
    if not groups:
        return None
    stickiness: dict[str, Any] = {
        "Enabled": own(parameters, f"{prefix}.TargetGroupStickinessConfig.Enabled", "false") == "true"
    }
    if seconds := own(parameters, f"{prefix}.TargetGroupStickinessConfig.DurationSeconds"):
        stickiness["DurationSeconds"] = int(seconds)
    return _forward(groups, stickiness)


def _sticks_in_vain(parameters: Any) -> str | None:
    """ARN of a rule that prevents the call from enabling stickiness; None if there is none."""
    count = 1
    while key := alb._p(parameters, f"Attributes.member.{count}.Key"):
        if key == "stickiness.enabled" and alb._p(parameters, f"Attributes.member.{count}.Value") == "true":
            break
        count += 1
    else:
        return None
    arn = alb._p(parameters, "TargetGroupArn")
    for rule in alb._rules.values():
        for action in rule["Actions"]:
            forward = action.get("ForwardConfig") or _forward([])
            is_behind = arn in {each["TargetGroupArn"] for each in forward["TargetGroups"]}
            if is_behind and not forward["TargetGroupStickinessConfig"]["Enabled"]:
                return str(rule["RuleArn"])
    return None


def install() -> None:
    own_actions, own_xml = provisioners._elbv2_listener_actions, alb._action_xml
    own_parse, own_attributes = alb._parse_actions, alb._modify_tg_attrs

    def actions(properties: dict[str, Any], *rest: Any, prop: str = "DefaultActions") -> list[dict[str, Any]]:
        kept = own_actions(properties, *rest, prop=prop)
        for action, given in zip(kept, properties.get(prop) or [], strict=True):
            if "ForwardConfig" in given:
                action["ForwardConfig"] = _forward(given["ForwardConfig"]["TargetGroups"])
        return list(kept)

    def parse(parameters: Any, prefix: str = "DefaultActions") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = own_parse(parameters, prefix)
        for number, action in enumerate(found, start=1):
            if forward := _forward_in(parameters, f"{prefix}.member.{number}.ForwardConfig"):
                action["ForwardConfig"] = forward
        return found

    def xml(action: dict[str, Any]) -> str:
        if "ForwardConfig" not in action:
            return str(own_xml(action))
        groups = "".join(
            f"<member><TargetGroupArn>{each['TargetGroupArn']}</TargetGroupArn><Weight>{each['Weight']}</Weight></member>"
            for each in action["ForwardConfig"]["TargetGroups"]
        )
        stickiness = "".join(
            f"<{key}>{str(value).lower()}</{key}>"
            for key, value in action["ForwardConfig"]["TargetGroupStickinessConfig"].items()
        )
        config = (
            f"<ForwardConfig><TargetGroups>{groups}</TargetGroups>"
            f"<TargetGroupStickinessConfig>{stickiness}</TargetGroupStickinessConfig></ForwardConfig>"
        )
        return str(own_xml(action)).removesuffix("</member>") + config + "</member>"

    def attributes(parameters: Any) -> Any:
        if rule := _sticks_in_vain(parameters):
            return alb._error(
                "InvalidConfigurationRequest",
                f"This target group appears behind a rule with group stickiness disabled ({rule}). "
                "You must enable group stickiness before enabling target stickiness",
            )
        return own_attributes(parameters)

    provisioners._elbv2_listener_actions = actions
    alb._action_xml, alb._parse_actions = xml, parse
    alb._ACTION_MAP["ModifyTargetGroupAttributes"] = attributes
