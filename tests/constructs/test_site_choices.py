"""Amplify instead of ECS, no site at all, a bucket that exists already: choices that none of our environments takes."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions

from infra_constructs.media import Media, MediaProps
from infra_constructs.retention import Retention
from infra_constructs.state_store import StateStore
from rehearsal.variants import with_sites_on_amplify, without_sites
from simulators.aws.amplify import NEXT_SERVER
from tests.permissions import faults

TemplateOf = Callable[[Callable[[cdk.Stack], object]], assertions.Template]
Templates = dict[str, dict[str, Any]]
SITE = "daadaar.com"
BRANCH = "AWS::Amplify::Branch"


# Beside the product's own site, one whose server-side rendering uses the bucket.
SECOND_SITE = """
[services.docs]
host = "docs.daadaar.com"
site = true
needs = ["media"]

[services.docs.amplify]
repository = "daadaar/docs"
branch = "main"
access_token_secret = "daadaar/github-token"
"""


@pytest.fixture(scope="module")
def synthesized(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Templates]:
    """The templates of production in a folder of environments, by stack."""

    def synthesize(environments: Path) -> Templates:
        import app
        from config import load

        root = cdk.App(context=context, outdir=str(tmp_path_factory.mktemp("out")))
        app.build(root, load(["production"], directory=environments))
        stacks = root.synth().get_nested_assembly("assembly-production").stacks
        return {each.display_name.partition("/")[2].partition(" ")[0]: each.template for each in stacks}

    return synthesize


@pytest.fixture(scope="module")
def on_amplify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of environments, in which production has two sites on Amplify."""
    from config import ENVIRONMENTS

    folder = with_sites_on_amplify(ENVIRONMENTS, "production", into=tmp_path_factory.mktemp("sites") / "environments")
    with (folder / "production.toml").open("a") as file:
        file.write(SECOND_SITE)
    return folder


@pytest.fixture(scope="module")
def amplified(synthesized: Callable[[Path], Templates], on_amplify: Path) -> Templates:
    return synthesized(on_amplify)


def of_type(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in template["Resources"].values() if each["Type"] == kind]


def test_amplify_takes_the_place_of_the_service(amplified: Templates) -> None:
    assert "Frontend" not in amplified, "on ECS it serves in a stack of its own until DNS leads to the new one"
    kinds = [each["Type"] for each in amplified["FrontendAmplify"]["Resources"].values()]
    assert "AWS::Amplify::App" in kinds
    assert "AWS::ECS::Service" not in kinds
    repositories = [
        key for key, each in amplified["Registry"]["Resources"].items() if each["Type"] == "AWS::ECR::Repository"
    ]
    assert [each for each in repositories if not each.startswith("Helper")] == ["ApiRepositoryAADF3F12"]


def test_amplifys_token_is_a_reference(amplified: Templates) -> None:
    (app,) = of_type(amplified["FrontendAmplify"], "AWS::Amplify::App")
    assert app["AccessToken"].startswith("{{resolve:secretsmanager:daadaar/github-token:")
    assert app["Platform"] == "WEB_COMPUTE"
    assert app["Repository"] == "https://github.com/daadaar/frontend"


def test_amplify_knows_each_branch_as_one_of_nextjs(amplified: Templates) -> None:
    """Otherwise its build ends with "your app's framework looks wrong" (amplify-hosting #3877)."""
    branches = [each for name in ("Frontend", "Docs") for each in of_type(amplified[f"{name}Amplify"], BRANCH)]
    assert [each.get("Framework") for each in branches] == [NEXT_SERVER] * 2


def test_all_granted_actions_exist_in_iam(amplified: Templates) -> None:
    assert faults(amplified) == []


def declared(edge: dict[str, Any], kind: str) -> str:
    """The declaration of a kind and name in the zone, with references as they stand in the template."""
    found = [json.dumps(each["Document"]) for each in of_type(edge, "Custom::Cloudflare")]
    (one,) = [each.replace('\\"', '"') for each in found if kind in each.replace('\\"', '"')]
    return one


def test_a_site_on_amplify_has_the_name_and_the_rules_of_any_site(amplified: Templates) -> None:
    names = declared(amplified["Edge"], '"kind":"records"')
    assert f'"name":"frontend","host":"{SITE}","type":"CNAME","content":"' in names
    assert "daadaar-production-frontend-amplify:ExportsOutputFnGetAtt" in names
    rules = declared(amplified["Edge"], '"phase":"http_request_firewall_custom"')
    for name in ("scanners", "own-checks", "programs"):
        rule = rules[rules.index(f'"name":"{name}"') :].partition('"action"')[0]
        assert SITE in rule, name
    assert f"{SITE}/ingest/*" in declared(amplified["Edge"], '"kind":"worker"')


def test_static_files_of_a_site_on_amplify_do_not_come_from_the_bucket(amplified: Templates) -> None:
    assert "_next/static" not in json.dumps(amplified["Edge"])


def test_it_is_built_with_the_variables_that_its_server_and_browsers_need(amplified: Templates) -> None:
    (app,) = of_type(amplified["FrontendAmplify"], "AWS::Amplify::App")
    values = {each["Name"]: each["Value"] for each in app["EnvironmentVariables"]}
    assert values["NEXT_PUBLIC_API_URL"] == "https://api.daadaar.com"
    assert values["NEXT_PUBLIC_SENTRY_ENVIRONMENT"] == "production"
    assert values["NEXT_PUBLIC_POSTHOG_HOST"] == f"https://{SITE}/ingest"
    assert commands(app)[-1] == 'SENTRY_RELEASE="frontend@$(git rev-parse HEAD)" npm run build'


def commands(app: dict[str, Any]) -> list[str]:
    """Commands of the build, which are one line of JSON in the specification."""
    line = next(each for each in app["BuildSpec"].splitlines() if "npm run build" in each)
    found: list[str] = json.loads(line.partition(":")[2])
    return found


def test_the_servers_variables_survive_the_way_through_the_file(amplified: Templates, tmp_path: Path) -> None:
    """Next.js reads it by dotenv's rules: `$` begins a reference, and `#` outside of quotes a comment."""
    (app,) = of_type(amplified["FrontendAmplify"], "AWS::Amplify::App")
    command = commands(app)[0]
    variables = {"NEXT_PUBLIC_API_URL": "https://a/?b=c#d $HOME", "NEXT_PUBLIC_API_URLS": "no", "PATH": "/usr/bin:/bin"}
    subprocess.run(["bash", "-c", command], cwd=tmp_path, env=variables, check=True)
    written = (tmp_path / ".env.production").read_text()
    assert written == 'NEXT_PUBLIC_API_URL="https://a/?b=c#d \\$HOME"\n'


def test_a_changed_variable_is_a_new_build_of_its_site_and_nothing_else_is(
    synthesized: Callable[[Path], Templates], amplified: Templates, on_amplify: Path, tmp_path: Path
) -> None:
    """Variables reach a site at its build only, and CloudFormation starts none."""
    file = Path(shutil.copytree(on_amplify, tmp_path / "environments")) / "production.toml"
    text = file.read_text()
    for before, after in (
        ('NEXT_PUBLIC_API_URL = "', 'NEXT_PUBLIC_API_URL = "x'),
        ("monthly_usd = ", "monthly_usd = 9"),
    ):
        assert before in text
        text = text.replace(before, after)
    file.write_text(text)
    changed = synthesized(file.parent)

    builds = {
        site: [of_type(templates[site], "Custom::AmplifyBuild") for templates in (amplified, changed)]
        for site in ("FrontendAmplify", "DocsAmplify")
    }
    assert len(builds["DocsAmplify"][0]) == 1
    assert builds["FrontendAmplify"][0] != builds["FrontendAmplify"][1]
    assert builds["DocsAmplify"][0] == builds["DocsAmplify"][1]


def test_server_side_rendering_may_use_media_only_where_the_file_says_so(amplified: Templates) -> None:
    assert "s3:PutObject" in json.dumps(amplified["DocsAmplify"])
    (app,) = of_type(amplified["DocsAmplify"], "AWS::Amplify::App")
    assert {"Name": "MEDIA_BUCKET", "Value": "daadaar-media-frkia"} in app["EnvironmentVariables"]
    assert "s3:PutObject" not in json.dumps(amplified["FrontendAmplify"])


def test_it_is_asked_for_every_minute_from_outside(amplified: Templates) -> None:
    functions = of_type(amplified["Observability"], "AWS::Lambda::Function")
    (checks,) = [each for each in functions if each["Handler"] == "infra_runtime.checks.handler"]
    assert f"https://{SITE}/" in json.dumps(checks["Environment"])
    named = [json.dumps(each["Dimensions"]) for each in of_type(amplified["Observability"], "AWS::CloudWatch::Alarm")
             if each.get("Namespace") == "Infra/Checks" and "Dimensions" in each]  # fmt: skip
    assert any("frontend" in each for each in named)


def test_a_failed_build_on_amplify_is_notified(amplified: Templates) -> None:
    (rule,) = of_type(amplified["FrontendAmplify"], "AWS::Events::Rule")
    assert rule["EventPattern"]["source"] == ["aws.amplify"]
    assert rule["EventPattern"]["detail"]["jobStatus"] == ["FAILED"]


def test_an_api_needs_no_site(synthesized: Callable[[Path], Templates], environments: Path, tmp_path: Path) -> None:
    found = synthesized(without_sites(environments, "production", into=tmp_path / "none"))
    assert not {"Frontend", "FrontendAmplify"} & set(found)
    assert SITE not in declared(found["Edge"], '"kind":"records"').replace(f".{SITE}", "").replace(f':"{SITE}"', "")
    rules = declared(found["Edge"], '"phase":"http_request_firewall_custom"')
    assert '"name":"scanners"' in rules
    assert '"name":"own-checks"' not in rules


def media(template_of: TemplateOf, *, adopt: bool, retention: Retention) -> assertions.Template:
    props = MediaProps(
        quarantine={},
        bucket_name="daadaar-media-frkia",
        adopt=adopt,
        cloudflare_reads=True,
        retention=retention,
        sites=["daadaar.com"],
        static="_next/static/",
    )
    store = StateStore(product="daadaar", environment="test", about="cloudflare")
    return template_of(lambda stack: Media(stack, "Media", store=store, props=props))


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
            "DeletionPolicy": "RetainExceptOnCreate",
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


def test_a_disposable_bucket_is_deleted_with_its_stack(template_of: TemplateOf) -> None:
    retention = Retention.disposable(reason="only the tests look at it, and briefly")
    media(template_of, adopt=False, retention=retention).has_resource("AWS::S3::Bucket", {"DeletionPolicy": "Delete"})
