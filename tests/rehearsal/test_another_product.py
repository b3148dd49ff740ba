"""Another product, region, plan and hosting, in repositories that were forked today.

Every check of a rehearsal follows the configuration.
"""

import shutil
from pathlib import Path

from config import load
from ops.github.subjects import name_of
from rehearsal.account import opened
from rehearsal.cdk_cli import CdkCli
from rehearsal.pipeline import Pipeline
from rehearsal.promises import PROMISES, Status, read_back
from rehearsal.promises.releases import place_of
from rehearsal.variants import forked_today

NAME = "trial"
ORCHARD = Path(__file__).with_name("orchard.toml")


def test_every_promise_is_kept_or_says_what_excludes_it(tmp_path: Path) -> None:
    """Plan free, Amplify, Upstash, two zones of us-east-1; no previews and no Sentry."""
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(ORCHARD, own / f"{NAME}.toml")
    environments = forked_today(own, NAME, into=tmp_path / "environments")
    environment = load([NAME], directory=environments)[NAME]
    assembly = tmp_path / "cdk.out"
    options = ("--context", f"env={NAME}", "--context", f"environments={environments}", "--output", str(assembly))
    CdkCli(environment.aws.account, environment.aws.region, tmp_path).run("synth", "--quiet", *options, validated=False)
    with opened(NAME, environment, tmp_path) as account:
        cdk = account.cdk
        cdk.run("bootstrap", f"aws://{cdk.account}/{cdk.region}", "--app", str(assembly))
        account.prepare()
        words = ("--app", str(assembly), "--require-approval", "never", "--concurrency", "4")
        cdk.run("deploy", f"{NAME}/*", *words)
        findings = list(read_back(account))
        pipeline, (release, *_) = Pipeline(account), place_of(account).ledger.releases("api")
        by_name = [
            pipeline.is_refused(job.role, f"repo:{name_of(job.repository)}:environment:{job.environment}")
            for job in pipeline.jobs
        ]
    assert [(each.about, each.promises) for each in findings] == [(each.about, each.promises) for each in PROMISES]
    assert [each for each in findings if each.status is Status.BROKEN] == []
    excluded = {each.promises: each.found for each in findings if each.status is Status.NOT_ON_THIS_PLAN}
    assert excluded.keys() == {
        "ElastiCache fails over within seconds",
        "Other names of a service lead to it",
        "An image of one program runs, on the platform that it is for",
        "WAF managed and OWASP",
        "Sentry knows which release an error came with",
        "A pull request runs on a copy, and ends",
        "Slack shows each page, its end, and costs",
        "PagerDuty opens an incident for each page, and resolves it",
        "Our own checks are let past the bots' challenge",
        "The site's pipeline pushes it",
    }
    assert [job.subject for job in pipeline.jobs] == [
        "repo:orchard@70001/infrastructure@9000002:environment:trial",
        "repo:orchard@70001/infrastructure@9000002:environment:trial-drift",
        "repo:orchard@70001/server@9000001:environment:trial-api",
    ]
    assert by_name == [True, True, True]
    assert "-ApiReleaseRole" in release.who
    assert "plan pro" in excluded["WAF managed and OWASP"]
