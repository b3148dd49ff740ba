"""AWS::ElasticLoadBalancingV2::ListenerRule: MiniStack forgets between which target groups a rule divides, and how."""

from typing import Any

from ministack.services import alb
from ministack.services.cloudformation import provisioners


def install() -> None:
    own_actions, own_xml = provisioners._elbv2_listener_actions, alb._action_xml

    def actions(properties: dict[str, Any], *rest: Any, prop: str = "DefaultActions") -> list[dict[str, Any]]:
        kept = own_actions(properties, *rest, prop=prop)
        for action, given in zip(kept, properties.get(prop) or [], strict=True):
            if "ForwardConfig" in given:
                action["ForwardConfig"] = {
                    "TargetGroups": [
                        {"TargetGroupArn": each["TargetGroupArn"], "Weight": int(each.get("Weight", 1))}
                        for each in given["ForwardConfig"]["TargetGroups"]
                    ]
                }
        return list(kept)

    def xml(action: dict[str, Any]) -> str:
        if "ForwardConfig" not in action:
            return str(own_xml(action))
        groups = "".join(
            f"<member><TargetGroupArn>{each['TargetGroupArn']}</TargetGroupArn><Weight>{each['Weight']}</Weight></member>"
            for each in action["ForwardConfig"]["TargetGroups"]
        )
        config = f"<ForwardConfig><TargetGroups>{groups}</TargetGroups></ForwardConfig>"
        return str(own_xml(action)).removesuffix("</member>") + config + "</member>"

    provisioners._elbv2_listener_actions = actions
    alb._action_xml = xml
