"""The sandbox's page in a browser, and who may press its buttons."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from rehearsal.sandbox import page
from rehearsal.sandbox.faults import CannotBreak
from simulators.ports import free_port
from tests.browser import browser

LONG = "daadaar-production-observability-DatabaseConnections88B3369F-90E4440731039" * 2
ALARM = {
    "name": LONG, "state": "ALARM", "since": 1.8e9, "reason": "Threshold <b>Crossed</b>", "severity": "critical",
    "means": "Rate limiting is off.", "runbook": "redis-connection-failure",
}  # fmt: skip
# Twice as wide as a telephone, with the page in a frame as wide as one: Chromium's own window is never so narrow.
FRAME = """<iframe src="/" width="360" height="9000"></iframe><p>
<script>setTimeout(() => { const page = document.querySelector('iframe').contentDocument
document.querySelector('p').textContent = page.documentElement.scrollWidth + ' wide|' + page.body.innerText }, 2500)
</script>"""


@dataclass
class Account:
    name: str = "dev"


@dataclass
class Pretended:
    """The page's state, without an account."""

    account: Account = field(default_factory=Account)
    broken: list[str] = field(default_factory=list)

    @property
    def faults(self) -> "Pretended":
        return self

    def cause(self, name: str) -> str:
        if name in self.broken:
            raise CannotBreak("broken already")
        self.broken.append(name)
        return f"broken: {name}"

    def repair(self) -> str:
        self.broken.clear()
        return "repaired"

    def now(self) -> dict[str, Any]:
        rule = {"ours": True, "action": "block", "what": "scanners", "phase": "custom", "expression": LONG}
        return {
            "environment": "dev", "account": "444455556666", "at": 1.8e9, "broken": self.broken, "addresses": {},
            "alarms": [ALARM, {**ALARM, "state": "OK"}],
            "mailbox": [{"at": 1.8e9, "to": "operator", "subject": f"ALARM: {LONG}", "text": LONG}],
            "edge": {"zone": "z", "plan": "pro", "rules": [rule], "records": [], "per_second": 1, "failed_percent": 0,
                     "failures": []},
            "services": [{"name": "api", "image": LONG, "tasks": {"running": 1, "desired": 2}, "stack": LONG,
                          "deployment": None, "release": None}],
            "database": {"version": "PostgreSQL 15"}, "redis": {"error": f"TimeoutError: {LONG}"},
            "metrics": [{"title": "Requests", "series": [{"label": LONG, "values": [None, 1, 3]}]}],
            "ledger": [{"id": "r1", "service": "api", "image": LONG, "kind": "release", "outcome": "failed",
                        "began": "2026-11-26T11:00:00+00:00", "who": "somebody", "reason": LONG, "note": None}],
            "logs": [{"at": 1.8e9, "service": "api", "line": LONG}],
        }  # fmt: skip


@pytest.fixture
def state() -> Pretended:
    return Pretended()


@pytest.fixture
def url(state: Pretended, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "frame.html").write_text(FRAME)
    monkeypatch.setitem(page.FILES, "/frame", (tmp_path / "frame.html", "text/html"))
    with page.serving(state, token="t", port=free_port()) as found:  # type: ignore[arg-type]
        yield found


def test_a_telephone_shows_everything_without_scrolling_sideways(url: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [browser(), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
         "--virtual-time-budget=4000", "--dump-dom", f"{url}/frame"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    text = done.stdout.partition("<p>")[2]
    assert text.startswith("360 wide|"), text[:200]
    for seen in (
        "Alarms: 1 firing, 1 of them critical", "Rate limiting is off.", "runbook: redis-connection-failure",
        "1 of 2 tasks", "PostgreSQL 15", "TimeoutError", "Requests", "failed", "break edge-rule",
    ):  # fmt: skip
        assert seen in text, seen
    assert "&lt;b&gt;Crossed" in text, "what an alarm says is text, not markup"


def test_faults_need_the_sandboxs_token(url: str, state: Pretended) -> None:
    assert httpx.post(f"{url}/break/redis").status_code == 403
    assert httpx.post(f"{url}/break/redis", headers={"X-Sandbox": "another"}).status_code == 403
    assert state.broken == []
    assert httpx.post(f"{url}/break/redis", headers={"X-Sandbox": "t"}).text == "broken: redis"
    assert httpx.post(f"{url}/break/redis", headers={"X-Sandbox": "t"}).status_code == 409
    assert httpx.post(f"{url}/repair/", headers={"X-Sandbox": "t"}).text == "repaired"


def test_a_foreign_name_that_leads_here_shows_nothing(url: str) -> None:
    assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 403


def test_runbooks_are_shown_and_no_other_file(url: str) -> None:
    assert httpx.get(f"{url}/runbooks/incident").text.startswith("# ")
    assert httpx.get(f"{url}/runbooks/..%2F..%2FREADME").status_code == 404
    assert httpx.get(f"{url}/runbooks/../adr/0012-the-probe").status_code == 404


def test_after_its_end_it_answers_nothing(url: str) -> None:
    assert httpx.post(f"{url}/end/", headers={"X-Sandbox": "t"}).status_code == 200
    assert httpx.get(f"{url}/state").status_code == 503
