"""Manual changes that the next deployment overwrites."""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from ops.account import is_denied
from ops.drift import differences
from ops.effects import Effect, Impact
from ops.effects.template import Template, Templates, resources
from ops.functions import Clients


def overwritten(
    clients: Clients, deployed: Templates, wanted: Templates, found: Collection[Effect]
) -> Iterator[Effect]:
    """Of the resources that these effects are about. CloudFormation leaves alone what does not change.

    A value that is the new template's already is no loss. Resources that CloudFormation cannot compare are reported:
    each with its reason, or all as one if the credentials may not ask. Raises what boto3 raises.
    """
    cloudformation = clients.client("cloudformation")
    for stack, logical_id in dict.fromkeys((each.stack, each.resource) for each in found):
        before, after = (resources(each.get(stack, {})).get(logical_id) for each in (deployed, wanted))
        if before is None or after is None or not after["Type"].startswith("AWS::"):
            continue
        try:
            answer = cloudformation.detect_stack_resource_drift(StackName=stack, LogicalResourceId=logical_id)
        except ClientError as error:
            if is_denied(error):
                yield _not_compared(stack, "", "these credentials may not compare")
                return
            # Not every type can be compared, nor a stack that is at work, which the caller tells.
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            continue
        drift = answer["StackResourceDrift"]
        lost = [each for each in differences(drift) if not _is_wanted(each, after)]
        text = "; ".join(f"{each['PropertyPath']}: {each['ExpectedValue']} → {each['ActualValue']}" for each in lost)
        if drift["StackResourceDriftStatus"] == "DELETED":
            what, consequence = "was deleted by hand", "CloudFormation cannot change it, and the stack is rolled back."
        elif drift["StackResourceDriftStatus"] == "UNKNOWN":
            # An answer like any other since August 2025 (aws-cdk-cli #740): a missing permission, or too many requests.
            yield _not_compared(stack, logical_id, drift.get("DriftStatusReason", "CloudFormation gives no reason"))
            continue
        elif lost:
            what, consequence = (
                f"was changed by hand ({text}), and is written again",
                "What was changed by hand is lost.",
            )
        else:
            continue
        yield Effect(
            severity=Impact.DANGEROUS,
            kind="overwritten",
            stack=stack,
            resource=logical_id,
            type=after["Type"],
            what=what,
            consequence=consequence,
            procedure="put it into the environment's file or the code, or undo it by hand",
        )


def _is_wanted(difference: Mapping[str, str], resource: Template) -> bool:
    value: Any = resource.get("Properties", {})
    for key in difference["PropertyPath"].strip("/").split("/"):
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            value = value.get(key) if isinstance(value, Mapping) else None
    text = value if isinstance(value, str) else json.dumps(value)
    return text == difference["ActualValue"]


def _not_compared(stack: str, logical_id: str, why: str) -> Effect:
    return Effect(
        severity=Impact.LOOK,
        kind="not-compared",
        stack=stack,
        resource=logical_id,
        what=f"is not compared with what is in AWS: {' '.join(why.split())}",
        consequence="What was changed by hand may be lost.",
        procedure="`infra drift ENV` with others",
    )
