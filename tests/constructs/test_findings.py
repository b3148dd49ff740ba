"""The one way past the rule packs is narrow."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3

from infra_constructs import findings
from infra_constructs.findings import acknowledge

REASON = "Only this test ever looks at this bucket."


@pytest.fixture
def stack(context: dict[str, Any]) -> cdk.Stack:
    return cdk.Stack(cdk.App(context=context), "Test")


def test_a_finding_is_acknowledged_on_one_resource(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Bucket")
    acknowledge(bucket, "AwsSolutions-S1", reason=REASON)
    assert bucket.node.default_child is not None
    kept = {each.type: each.data for each in bucket.node.default_child.node.metadata}
    assert kept["aws:cdk:acknowledged-rules"] == {"AwsSolutions::AwsSolutions-S1": REASON}


@pytest.mark.parametrize("reason", ["", "because", "not needed", "ok ok ok ok ok ok ok"])
def test_a_reason_without_substance_is_refused(stack: cdk.Stack, reason: str) -> None:
    with pytest.raises(ValueError, match="must say in a few words"):
        acknowledge(s3.Bucket(stack, "Bucket"), "AwsSolutions-S1", reason=reason)


def test_acknowledging_a_whole_stack_is_refused(stack: cdk.Stack) -> None:
    s3.Bucket(stack, "Bucket")
    with pytest.raises(ValueError, match="acknowledge on one resource; Test is not one"):
        acknowledge(stack, "AwsSolutions-S1", reason=REASON)


@pytest.mark.parametrize("finding", ["S1", "AwsSolutions", "AwsSolutions-*", ""])
def test_an_incomplete_finding_id_is_refused(stack: cdk.Stack, finding: str) -> None:
    with pytest.raises(ValueError, match="the id must be whole"):
        acknowledge(s3.Bucket(stack, "Bucket"), finding, reason=REASON)


def test_the_gate_fails_on_a_finding_that_is_not_acknowledged(context: dict[str, Any]) -> None:
    """The positive control of every passing synthesis: the same gate, on a bucket that is wrong on purpose."""
    app = cdk.App(context=context)
    stack = cdk.Stack(app, "Test")
    s3.Bucket(stack, "Bad")
    acknowledge(s3.Bucket(stack, "Good", enforce_ssl=True), "AwsSolutions-S1", reason=REASON)
    findings.gate(app)
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    left = findings.unacknowledged(Path(app.outdir))
    assert left
    assert {line.partition(":")[0] for line in left} == {"Test/Bad/Resource"}


def test_a_plugin_that_crashed_fails_the_gate(tmp_path: Path) -> None:
    """Its report has a conclusion, but no violation."""
    report = {
        "pluginReports": [
            {
                "pluginName": "Policies",
                "conclusion": "failure",
                "violations": [],
                "metadata": {"error": "KeyError: 'Type'"},
            }
        ]
    }
    (tmp_path / "validation-report.json").write_text(json.dumps(report))
    assert findings.unacknowledged(tmp_path) == ["Policies: KeyError: 'Type'"]
