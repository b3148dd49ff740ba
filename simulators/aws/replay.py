"""Recorded calls against identity policies, without an emulator: would IAM still allow them?"""

from collections.abc import Mapping, Sequence
from typing import Any

from ministack.core import iam_evaluator


def is_allowed(call: Mapping[str, Any], policies: Sequence[Mapping[str, Any]]) -> bool:
    """`call` as `simulators.aws.authorization.record` writes it; `policies` are documents of one role."""
    region, account = (call["caller"].split(":")[index] for index in (3, 4))
    request = iam_evaluator.EvalContext(
        principal_arn=call["caller"],
        principal_type="AssumedRole",
        principal_account=account,
        action=call["action"],
        resource_arn=call["resource"],
        region=region,
        secure_transport=True,
        service_context={key.lower(): value for key, value in call["context"].items()},
    )
    parsed = [iam_evaluator.parse_policy_document(dict(each)) for each in policies]
    return bool(iam_evaluator.evaluate(request, parsed).decision == "Allow")
