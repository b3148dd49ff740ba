"""Another product, region, plan and hosting, in repositories that were forked today.

Six services: two sites, an API, a worker and two jobs. Every check of a rehearsal follows the configuration.
"""

import io
import shutil
from pathlib import Path

from ops.console import Console
from rehearsal.life import live
from rehearsal.promises import PROMISES, Status
from rehearsal.stage import Progress
from rehearsal.variants import forked_today

NAME = "trial"
ORCHARD = Path(__file__).with_name("orchard.toml")


def test_every_promise_is_kept_or_says_what_excludes_it(tmp_path: Path) -> None:
    """Plan free, Amplify, Upstash beside shards, two zones of us-east-1, Sentry of its own."""
    own, output = tmp_path / "own", io.StringIO()
    own.mkdir()
    shutil.copy(ORCHARD, own / f"{NAME}.toml")
    environments = forked_today(own, NAME, into=tmp_path / "environments")
    outcome = live(NAME, Progress(Console(file=output, width=200)), environments=environments)
    findings = outcome.findings
    assert [(each.about, each.promises) for each in findings] == [(each.about, each.promises) for each in PROMISES]
    assert outcome.broken == [], output.getvalue()
    excluded = {each.promises: each.found for each in findings if each.status is Status.NOT_ON_THIS_PLAN}
    assert excluded.keys() == {
        "ElastiCache fails over within seconds",
        "Other names of a service lead to it",
        "WAF managed and OWASP",
        "Slack shows each page, its end, and costs",
        "PagerDuty opens an incident for each page, and resolves it",
        "Our own checks are let past the bots' challenge",
    }
    assert "plan pro" in excluded["WAF managed and OWASP"]
    assert "no stack is left" in output.getvalue()
    found = {each.promises: each.found for each in findings}
    jobs = found["They run by hand, and say how they ended"]
    assert "outbox succeeded; report failed with exit code 3 at attempt 2" in jobs
    assert 'relation "reports" does not exist' in jobs
    assert found["Jobs run by it"] == "outbox: started by EventBridge, and succeeded"
    assert "from node to bun" in found["Traffic moves without a lost request"]
    assert "migrated by itself" in found["An image of one program runs, on the platform that it is for"]
