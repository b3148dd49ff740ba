"""Every command on a deployed environment, for people and as JSON; and with a name that does not exist."""

import sys
import time
import webbrowser
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra_runtime.cloudflare import credentials
from infra_runtime.cloudflare.api import new_pace
from ops import __main__ as infra
from ops import change, doctor, explain, progress, review
from ops.edge import synthesized
from rehearsal.account import Account
from rehearsal.checks.releases import first_release
from tests.ops.every_command import ARGUMENTS, ELSEWHERE, ENV, conforms, with_json

SLOWEST_SECONDS = 10.0
FINDINGS = 3
# Arguments, and possible exit codes: other tests decide whether an alarm fires or the last release has failed.
FINE: dict[str, tuple[list[str], set[int]]] = {
    "status": ([], {0}),
    "alarms": ([], {0, FINDINGS}),
    "releases": (["--service", "api"], {0}),
    "follow": (["api"], {0, 1}),
    "drift": ([], {0, FINDINGS}),
    "doctor": ([], {0, FINDINGS}),
    "verify": ([], {0}),
    "github": ([], {0}),
    "logs": (["api", "--since", "1m"], {0}),
    "id": (["database"], {0}),
    "call": (["drift"], {0}),
    "secret list": ([], {0}),
    "restore list": ([], {0}),
    "effects": ([], {0}),
    "change plan": ([], {0, FINDINGS}),
    "change next": ([], {0, FINDINGS}),
    "explain": ([], {0, FINDINGS}),
    "gameday list": ([], {0}),
    "maintenance show": ([], {0}),
    "edge plan": ([], {0}),
    "edge drift": ([], {0}),
    "edge show": ([], {0}),
    "redis check": ([], {0, FINDINGS}),
    "redis ask": (["INFO"], {0}),
    "open": (["api"], {0}),
}
# They change something, and have tests of their own in this folder; none of them prints a list.
CHANGING = {
    "db dump", "db shell", "db tunnel", "gameday run", "maintenance off", "maintenance on",
    "database upgrade", "edge apply", "edge purge", "exec", "job run", "preview end", "preview start", "preview take",
    "redis rotate", "release", "restart", "restore back", "restore drill", "restore objects", "restore point",
    "restore table", "rollback", "run", "sandbox break", "sandbox end", "sandbox repair", "secret set",
}  # fmt: skip
# Commands for features that production lacks, or without an environment.
ELSEWHERE_FINE = {"egress model", "job list", "preview list", "redis url", "review"}
WRONG: dict[str, str] = {
    "release production --service apo --image x": "--service 'apo': expected one of api,",
    "releases production --service apo": "--service 'apo': expected one of api,",
    "rollback production --service apo": "--service 'apo': expected one of api,",
    "rollback production r1 --service api": "RELEASE 'r1': expected an id of infra releases production",
    "status production --service apo": "--service 'apo': expected one of api,",
    "status production --service apo --json": "--service 'apo': expected one of api,",
    "follow production apo": "--service 'apo': expected one of api,",
    "run production --service apo -- true": "--service 'apo': expected one of api,",
    "exec production --service apo": "--service 'apo': expected one of api,",
    "logs production apo": "WHAT 'apo': expected a part of one of",
    "restart production apo": "SERVICE 'apo': expected one of api,",
    "id production databse": "WHAT 'databse': expected one of",
    "call production drifd": "expected one of function/",
    "open production jenkins": "WHAT 'jenkins': expected one of api,",
    "job run production clean": "JOB 'clean': production has no jobs",
    "preview list production": "expected an environment with the table [previews]",
    "secret set production daadaar/nothing": "names no such secret",
    "redis check production --instance mian": "--instance 'mian': expected one of main",
    "redis check production --instance mian --json": "--instance 'mian': expected one of main",
    "redis ask production flushall": "'flushall': expected one of",
    "redis rotate production --instance mian": "--instance 'mian': expected one of main",
    "edge purge production https://elsewhere.example/a": "expected a URL of",
    "restore point production --to yesterday": "--to 'yesterday': expected",
    "restore objects production avatars/ --to yesterday": "--to 'yesterday': expected",
    "verify production --only nothing": "--only",
    "review nothing": "BASE 'nothing': expected a commit",
    "review nothing --json": "BASE 'nothing': expected a commit",
    "sandbox break nothing": "FAULT 'nothing': expected one of",
}


@pytest.fixture(scope="module")
def released(production: Account) -> Account:
    first_release(production)
    return production


@pytest.fixture
def says(
    released: Account, templates: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[str], tuple[int, str, str]]]:
    """(exit code, standard output, standard error), within ten seconds. Templates are those of the other tests."""
    own = {f"daadaar-{key.lower().replace('/', '-')}": each for key, each in templates.items() if "production/" in key}
    for module in (change, doctor, review, synthesized):
        monkeypatch.setattr(module, "synthesized", lambda _: own)
    monkeypatch.setattr(explain, "synthesized_with_lines", lambda _: (own, {}))
    monkeypatch.setattr(webbrowser, "open", lambda _: True)
    addresses = {"AWS_ENDPOINT_URL": released.cdk.endpoint or "", "CLOUDFLARE_BASE_URL": released.cloudflare_url}
    addresses |= {"GITHUB_API_URL": released.github_url, "COLUMNS": "400"}
    for name, value in {**released.cdk.credentials, **addresses}.items():
        monkeypatch.setenv(name, value)

    def say(words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["infra", *words.split()])
        monkeypatch.setattr(progress._Wanted, "by_this_process", False)  # main() turns it on
        # A process of its own has asked Cloudflare nothing yet.
        monkeypatch.setattr(credentials, "_pace", new_pace())
        began = time.monotonic()
        with pytest.raises(SystemExit) as end:
            infra.main()
        assert time.monotonic() - began < SLOWEST_SECONDS
        return int(end.value.code or 0), *capsys.readouterr()

    yield say


def test_every_command_is_here_or_has_tests_of_its_own() -> None:
    here = FINE.keys() | CHANGING | ELSEWHERE_FINE
    assert here == ARGUMENTS.keys() | ELSEWHERE.keys(), "FINE: how a command may end here"
    assert with_json() & CHANGING == {"preview start", "preview take"}, "tests/ops/test_json.py"


@pytest.mark.parametrize("command", FINE)
def test_each_command_succeeds_and_prints_the_documented_json(
    command: str, says: Callable[[str], tuple[int, str, str]]
) -> None:
    words, ends = FINE[command]
    asked = " ".join([command, ENV, *words])
    code, out, err = says(asked)
    assert code in ends, out + err
    assert out
    if command in with_json():
        code, out, err = says(f"{asked} --json")
        assert code in ends, out + err
        conforms(command, out)


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_name_is_exit_code_2_with_those_that_there_are(
    words: str, says: Callable[[str], tuple[int, str, str]]
) -> None:
    code, out, err = says(words)
    assert (code, out) == (2, ""), err
    assert WRONG[words] in err
    assert "Traceback" not in err
