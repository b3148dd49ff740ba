"""GuardDuty's plan is for the prefix alone, and the roles are those that the bucket's policy lets read."""

import fnmatch
import json

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

from infra_constructs.media_quarantine import ID, MediaQuarantine, variables
from infra_runtime.media_access import Quarantine
from tests.constructs.conftest import TemplateOf

PREFIX = "uploads/"


def build(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "ByName", "media")
    MediaQuarantine(stack, ID, bucket=bucket, prefix=PREFIX, environment="dev")


def test_the_plan_scans_the_prefix_and_tags(template_of: TemplateOf) -> None:
    template_of(build).has_resource_properties(
        "AWS::GuardDuty::MalwareProtectionPlan",
        {
            "ProtectedResource": {"S3Bucket": {"BucketName": "media", "ObjectPrefixes": [PREFIX]}},
            "Actions": {"Tagging": {"Status": "ENABLED"}},
        },
    )


def test_scans_begin_when_their_results_are_handled_and_the_role_is_old_enough(template_of: TemplateOf) -> None:
    template = template_of(build)
    (plan,) = template.find_resources("AWS::GuardDuty::MalwareProtectionPlan").values()
    first = {
        name
        for kind in ("Events::Rule", "Lambda::EventSourceMapping")
        for name in template.find_resources(f"AWS::{kind}")
    }
    assert len(first) == 2
    assert first <= set(plan["DependsOn"])
    # IAM has it at once; until GuardDuty has it, the rest is created.
    roles = template.find_resources("AWS::IAM::Role")
    (scanner,) = [each for name, each in roles.items() if "Scanner" in name]
    assert "DependsOn" not in scanner


def test_the_policy_of_the_bucket_lets_these_roles_read_and_no_others(template_of: TemplateOf) -> None:
    """CloudFormation names a role after its stack and its logical id."""
    output = Quarantine.of(variables(PREFIX, account="111122223333", stack="daadaar-dev-data"))
    assert output is not None
    assert output.prefix == PREFIX
    roles = template_of(build).find_resources("AWS::IAM::Role")
    assert len(roles) == 2
    for name in roles:
        assert fnmatch.fnmatch(f"arn:aws:iam::111122223333:role/daadaar-dev-data-{name}-A1B2C3", output.roles)
    assert not fnmatch.fnmatch("arn:aws:iam::111122223333:role/daadaar-dev-api-ServiceTaskRole-A1B2C3", output.roles)
    assert variables(None, account="111122223333", stack="daadaar-dev-data") == {}


def test_the_mover_deletes_only_below_the_prefix(template_of: TemplateOf) -> None:
    statements = [
        statement
        for policy in template_of(build).find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    (deletes,) = [each for each in statements if "s3:DeleteObjectVersion" in json.dumps(each["Action"])]
    assert deletes["Resource"] == f"arn:aws:s3:::media/{PREFIX}*"
