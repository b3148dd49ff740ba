"""The plan of an account: since July 2025 a new one may be on the free plan, until its owner upgrades it (API reference
of Free Tier, "GetAccountPlanState", "UpgradeAccountPlan").

RDS's errors until then: yc-software/qm #352. Elastic Load Balancing refuses each load balancer,
as it does in some other new accounts until AWS Support allows them; many public repositories quote its error.
"""

import json
from collections.abc import Mapping
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import get_account_id

from simulators.aws.conditions import Condition, is_on

_SERVICE = "freetier"
_DAYS_OF_BACKUPS = 1
_upgraded: set[str] = set()


def _plan() -> str:
    return "FREE" if is_on(Condition.FREE_PLAN) and get_account_id() not in _upgraded else "PAID"


def refused_database(properties: Mapping[str, Any]) -> str | None:
    """`properties` are those of AWS::RDS::DBInstance."""
    if _plan() == "PAID":
        return None
    if int(properties.get("BackupRetentionPeriod", 1)) > _DAYS_OF_BACKUPS:
        return (
            "The specified backup retention period exceeds the maximum available to free tier customers. "
            "To remove all limitations, upgrade your account plan."
        )
    if not properties.get("DBInstanceClass", ".micro").endswith(".micro"):
        return "This instance size isn't available with free plan accounts."
    return None


def refused_load_balancer() -> str | None:
    if _plan() == "PAID":
        return None
    return (
        "This AWS account currently does not support creating load balancers. For more information, please contact AWS "
        "Support. (Service: ElasticLoadBalancingV2, Status Code: 400, Error Code: OperationNotPermitted)"
    )


async def _handle(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> tuple[int, dict[str, str], bytes]:
    content = {"Content-Type": "application/x-amz-json-1.0"}
    match headers.get("x-amz-target", "").rpartition(".")[2]:
        case "GetAccountPlanState":
            pass
        case "UpgradeAccountPlan":
            _upgraded.add(get_account_id())
        case action:
            wrong = {"__type": "ValidationException", "message": f"{action} is not simulated"}
            return 400, content, json.dumps(wrong).encode()
    state = {"accountId": get_account_id(), "accountPlanType": _plan(), "accountPlanStatus": "ACTIVE"}
    return 200, content, json.dumps(state).encode()


def install() -> None:
    app.SERVICE_HANDLERS[_SERVICE] = _handle
    router.SERVICE_PATTERNS[_SERVICE] = {"target_prefixes": ["AWSFreeTierService"], "host_patterns": []}
    # Else MiniStack would allow every call.
    iam_actions.SERVICE_TO_IAM_NAMESPACE[_SERVICE] = _SERVICE
