"""AssumeRoleWithWebIdentity: MiniStack checks the role's trust; AWS also checks provider, audience and duration."""

from collections.abc import Mapping
from typing import Any

from ministack.services import iam, sts


def install() -> None:
    def refusal(role_arn: str, params: Mapping[str, Any], use_json: bool) -> Any:
        account = role_arn.split(":")[4]
        arn, keys = sts._web_identity_principal(sts._p(params, "WebIdentityToken"), "", role_arn)
        host = arn.rpartition(":oidc-provider/")[2]
        provider = iam._oidc_providers.get_scoped(account, None, arn)
        if provider is None:
            # In the words of configure-aws-credentials #721.
            return _error("InvalidIdentityToken", f"No OpenIDConnect provider found in your account for https://{host}")
        if keys.get(f"{host}:aud") not in provider["ClientIDList"]:
            # #775 of the same.
            return _error("InvalidIdentityToken", "Incorrect token audience")
        if denied := own(role_arn, params, use_json):
            return denied
        role = iam._roles.get_scoped(account, None, role_arn.rpartition("/")[2])
        if int(sts._p(params, "DurationSeconds") or 3600) > role["MaxSessionDuration"]:
            # kreuzwerker/awsu #27
            text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
            return _error("ValidationError", text)
        return None

    own, sts._web_identity_trust_denied = sts._web_identity_trust_denied, refusal


def _error(code: str, message: str) -> Any:
    return sts._error(400, code, message, ns="sts")
