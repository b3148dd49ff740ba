"""Fails the synthesis on findings of cdk-nag's rule packs and of our own policies, and acknowledges the former.

cdk-nag accepts acknowledgements without a reason, for rules that do not exist, and for whole trees. This one does not.
"""

import json
from pathlib import Path

import aws_cdk as cdk
from constructs import IConstruct

_FEWEST_WORDS = 5


def gate(app: cdk.App, *others: cdk.IPolicyValidationPlugin) -> None:
    """Makes `synth` fail on each unacknowledged finding of AwsSolutions, and on each finding of other plugins."""
    from cdk_nag import AwsSolutionsChecks  # noqa: PLC0415  (a quarter of a second that unvalidated synths save)

    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True), *others)


def unacknowledged(assembly: Path) -> list[str]:
    """What the validation of this cloud assembly objected to, one finding a line; empty when all is well.

    Call it after every synth: with nested stages, `cdk synth` exits with 0 even when the report has findings.
    """
    report = json.loads((assembly / "validation-report.json").read_text())
    # A plugin that raises has a conclusion, and no violation.
    broken = [
        f"{plugin['pluginName']}: {plugin.get('metadata', {}).get('error', 'it failed')}"
        for plugin in report["pluginReports"]
        if plugin["conclusion"] != "success" and not plugin["violations"]
    ]
    return broken + [
        f"{where['constructPath']}: {violation['ruleName']}: {violation['description']}"
        for plugin in report["pluginReports"]
        if plugin["conclusion"] != "success"
        for violation in plugin["violations"]
        if violation.get("severity", "error") in ("error", "fatal")
        for where in violation["violatingConstructs"]
    ]


def acknowledge(scope: IConstruct, finding: str, *, reason: str) -> None:
    """Lets one finding stay on one resource.

    `finding` is the rule's id with its detail, as the report prints it: `AwsSolutions-IAM5[Resource::*]`.

    Raises `ValueError` when the scope is wider than one resource, the id is not qualified with its pack, or the
    reason would fit any finding.
    """
    own = scope if isinstance(scope, cdk.CfnResource) else scope.node.default_child
    wrong = None
    if not isinstance(own, cdk.CfnResource):
        wrong = f"acknowledge on one resource; {scope.node.path or 'the app'} is not one"
    elif "-" not in finding.partition("[")[0] or "*" in finding.partition("[")[0]:
        wrong = "the id must be whole, like AwsSolutions-S1"
    elif len(set(reason.lower().split())) < _FEWEST_WORDS:
        wrong = f"the reason {reason!r} must say in a few words why this finding is right to stay"
    if wrong is not None or own is None:
        raise ValueError(f"{scope.node.path}: {finding}: {wrong}")
    pack = finding.partition("-")[0]
    cdk.Validations.of(own).acknowledge(cdk.Acknowledgment(id=f"{pack}::{finding}", reason=reason))


def uses_managed_policy(name: str) -> str:
    """The finding that cdk-nag reports for a role with this AWS-managed policy."""
    return f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{name}]"


def allows_on(arn_or_wildcard: str) -> str:
    """The finding that cdk-nag reports for a statement on resources that a wildcard names."""
    return f"AwsSolutions-IAM5[Resource::{arn_or_wildcard}]"
