"""Amplify instead of ECS, and a bucket that exists already: the choices that none of our environments takes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions

from infra_constructs.media import Media, MediaProps
from infra_constructs.memory import Memory
from infra_constructs.retention import Retention

TemplateOf = Callable[[Callable[[cdk.Stack], object]], assertions.Template]
AMPLIFY = """[services.frontend]
host = "daadaar.com"
site = true

[services.frontend.amplify]
repository = "daadaar/frontend"
branch = "main"
access_token_secret = "daadaar/github-token"
"""


@pytest.fixture
def amplified(context: dict[str, Any], environments: Path, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The stacks of a production whose frontend is on Amplify."""
    import app
    from config import load

    file = environments / "production.toml"
    text = file.read_text()
    begin, end = text.index("[services.frontend]"), text.index("[posthog]")
    file.write_text(text[:begin] + AMPLIFY + text[text.index("[sentry]") : end] + text[text.index("[alarms]") :])
    root = cdk.App(context=context, outdir=str(tmp_path / "out"))
    app.build(root, load(["production"], directory=environments))
    folder = Path(root.synth().directory) / "assembly-production"
    return {
        path.name.removeprefix("production")[:8]: json.loads(path.read_text())
        for path in folder.glob("*.template.json")
    }


def test_amplify_takes_the_place_of_the_service(amplified: dict[str, dict[str, Any]]) -> None:
    kinds = [each["Type"] for each in amplified["Frontend"]["Resources"].values()]
    assert "AWS::Amplify::App" in kinds
    assert "AWS::ECS::Service" not in kinds
    repositories = [
        key for key, each in amplified["Registry"]["Resources"].items() if each["Type"] == "AWS::ECR::Repository"
    ]
    assert [each for each in repositories if not each.startswith("Helper")] == ["ApiRepositoryAADF3F12"]


def test_amplifys_token_is_a_reference(amplified: dict[str, dict[str, Any]]) -> None:
    (app,) = [each for each in amplified["Frontend"]["Resources"].values() if each["Type"] == "AWS::Amplify::App"]
    assert app["Properties"]["AccessToken"].startswith("{{resolve:secretsmanager:daadaar/github-token:")
    assert app["Properties"]["Platform"] == "WEB_COMPUTE"
    assert app["Properties"]["Repository"] == "https://github.com/daadaar/frontend"


def media(template_of: TemplateOf, *, adopt: bool, retention: Retention) -> assertions.Template:
    props = MediaProps(
        bucket_name="daadaar-media-frkia",
        adopt=adopt,
        cloudflare_reads=True,
        retention=retention,
        sites=["daadaar.com"],
    )
    memory = Memory(product="daadaar", environment="test", about="cloudflare")
    return template_of(lambda stack: Media(stack, "Media", memory=memory, props=props))


@pytest.mark.parametrize(("adopt", "retention", "disposable"), [
    (True, Retention.kept(), "false"),
    (True, Retention.disposable(reason="only the tests look at it, and briefly"), "false"),
    (False, Retention.kept(), "false"),
    (False, Retention.disposable(reason="only the tests look at it, and briefly"), "true"),
])  # fmt: skip
def test_the_policy_has_one_writer_and_only_our_own_disposable_bucket_is_emptied(
    adopt: bool, retention: Retention, disposable: str, template_of: TemplateOf
) -> None:
    template = media(template_of, adopt=adopt, retention=retention)
    template.resource_count_is("AWS::S3::Bucket", 0 if adopt else 1)
    template.resource_count_is("AWS::S3::BucketPolicy", 0)
    template.has_resource_properties("Custom::MediaAccess", {"Bucket": "daadaar-media-frkia", "Disposable": disposable})
    assert ("s3:DeleteObjectVersion" in json.dumps(template.to_json())) == (disposable == "true")


def test_a_bucket_of_our_own_is_private_versioned_and_kept(template_of: TemplateOf) -> None:
    media(template_of, adopt=False, retention=Retention.kept()).has_resource(
        "AWS::S3::Bucket",
        {
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "BucketName": "daadaar-media-frkia",
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                },
                "VersioningConfiguration": {"Status": "Enabled"},
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            },
        },
    )


def test_a_disposable_bucket_goes(template_of: TemplateOf) -> None:
    retention = Retention.disposable(reason="only the tests look at it, and briefly")
    media(template_of, adopt=False, retention=retention).has_resource("AWS::S3::Bucket", {"DeletionPolicy": "Delete"})
