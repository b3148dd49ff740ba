"""Another product, region, plan and hosting, in repositories that were forked today: six services.

Two sites, an API, a worker and two jobs. Every check of a rehearsal follows the configuration.
"""

import io
import shutil
from pathlib import Path

import pytest

from config import load
from ops.console import Console
from ops.errors import OperatorError
from ops.github.subjects import name_of
from ops.jobs import commands as jobs
from ops.jobs.commands import JobPlace
from ops.releases import commands
from rehearsal.account import Account, opened
from rehearsal.cdk_cli import CdkCli
from rehearsal.pipeline import Pipeline
from rehearsal.product import FIRST
from rehearsal.promises import PROMISES, Status, read_back
from rehearsal.promises.releases import place_of, release
from rehearsal.push import push
from rehearsal.variants import forked_today

NAME = "trial"
SECOND = "alter table visitors add email text"
THIRD = "create table reports (id bigint primary key)"
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
        jobs_run_and_tell_why_they_failed(account)
        a_worker_is_released_and_goes_back_with_its_image(account)
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
        "WAF managed and OWASP",
        "Sentry knows which release an error came with",
        "A pull request runs on a copy, and ends",
        "Slack shows each page, its end, and costs",
        "PagerDuty opens an incident for each page, and resolves it",
        "Our own checks are let past the bots' challenge",
    }
    assert [job.subject for job in pipeline.jobs] == [
        "repo:orchard@70001/infrastructure@9000003:environment:trial",
        "repo:orchard@70001/infrastructure@9000003:environment:trial-drift",
        "repo:orchard@70001/server@9000001:environment:trial-api",
        "repo:orchard@70001/docs@9000002:environment:trial-docs",
    ]
    assert by_name == [True, True, True, True]
    assert "-ApiReleaseRole" in release.who
    assert "plan pro" in excluded["WAF managed and OWASP"]


def a_worker_is_released_and_goes_back_with_its_image(account: Account) -> None:
    before, after = place_of(account).image(), push(account, "api", "with-reports", (FIRST, SECOND, THIRD))
    release(account, after)
    assert _runs(account, "mailer") == _runs(account, "api") == after
    commands.rollback(place_of(account), None, Console(file=io.StringIO()), accept_schema=False, note=None)
    assert _runs(account, "mailer") == _runs(account, "api") == before


def jobs_run_and_tell_why_they_failed(account: Account) -> None:
    place, told = JobPlace(account.name, account.environment, account), io.StringIO()
    jobs.run(place, "tidy", Console(file=told, width=200))
    assert "tidy succeeded" in told.getvalue()
    with pytest.raises(OperatorError, match=r'(?s)failed with 3 at attempt 2: .*relation "reports" does not exist'):
        jobs.run(place, "report", Console(file=told))


def _runs(account: Account, service: str) -> str:
    described = account.service(service)
    assert described["runningCount"] == described["desiredCount"] == 1
    return str(account.container(described)["image"])
