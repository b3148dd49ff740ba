"""`./infra edge …` against an account that was really deployed to."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.edge import synthesized
from ops.templates import read
from rehearsal.account import TOKEN, Account
from simulators.cloudflare.foreign import foreign_objects
from tests.ops.command import Answer, infra_says

ROOT = Path(__file__).resolve().parents[2]


class Operator:
    def __init__(self, account: Account) -> None:
        self.account = account
        self.user_agent = user_agent(account)["value"]
        cdk = account.cdk
        addresses = {"AWS_ENDPOINT_URL": cdk.endpoint or "", "CLOUDFLARE_BASE_URL": account.cloudflare_url}
        self._variables = {**cdk.credentials, **addresses, "COLUMNS": "180"}

    def asks(self, *words: str, **environment: str) -> Answer:
        return self._checked(infra_says("edge", *words, **self._variables | environment))

    def types(self, *words: str) -> Answer:
        """Runs the script as a person does, in a separate process, which synthesizes the templates."""
        done = subprocess.run(
            [ROOT / "infra", "edge", *words],
            env={**os.environ, **self._variables},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        return self._checked(Answer(done.returncode, done.stdout, done.stderr))

    def _checked(self, answer: Answer) -> Answer:
        """No answer holds the token, or the secret that the zone sends to the bucket."""
        value = answer.stdout + answer.stderr
        assert "Traceback" not in value
        assert TOKEN not in value
        assert self.user_agent not in value
        return answer


def rule(account: Account, phase: str, name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [each for each in account.zone.rulesets[phase]["rules"] if each["ref"] == f"production.{name}"]
    return found


def user_agent(account: Account) -> dict[str, str]:
    found = rule(account, "http_request_late_transform", "media-user-agent")
    header: dict[str, str] = found["action_parameters"]["headers"]["User-Agent"]
    return header


@pytest.fixture
def operator(production: Account, assembly: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    """Restores the zone after each test."""
    monkeypatch.setattr(synthesized, "synthesized", lambda name: dict(read(assembly / f"assembly-{name}")))
    operator = Operator(production)
    yield operator
    assert operator.asks("apply", "production").returncode == 0
    assert production.cloudflare.violations == []


def test_nothing_has_drifted_after_a_deployment(operator: Operator) -> None:
    for answer in (operator.types("drift", "production"), operator.asks("plan", "production")):
        assert (answer.returncode, "nothing" in answer.stdout) == (0, True), answer.stdout + answer.stderr
        assert "12 declarations compared" in answer.stdout


def test_manual_changes_are_shown_and_reverted(operator: Operator) -> None:
    account = operator.account
    before = foreign_objects(account.cloudflare.world, owner="production")
    rule(account, "http_request_cache_settings", "media-cache")["action_parameters"]["browser_ttl"]["default"] = 60
    user_agent(account)["value"] = "somebody else's"
    api = account.environment.services["api"].host
    (record,) = [key for key, each in account.zone.records.items() if each["name"] == api]
    del account.zone.records[record]

    answer = operator.asks("drift", "production")
    assert answer.returncode == 3
    assert "604800" in answer.stdout

    document = json.loads(operator.asks("drift", "production", "--json").stdout)
    (change,) = document["rules/http_request_cache_settings"]["changes"]
    assert change["before"]["action_parameters"]["browser_ttl"]["default"] == 60
    assert [each["action"] for each in document["records/dns"]["changes"]] == ["create"]
    assert "********" in json.dumps(document["rules/http_request_late_transform"]["changes"][0]["after"])
    assert operator.asks("plan", "production").returncode == 3

    applied = operator.asks("apply", "production")
    assert "records/dns: 1 changes written" in applied.stdout
    assert operator.asks("drift", "production").returncode == 0
    assert foreign_objects(account.cloudflare.world, owner="production") == before


def test_a_url_is_purged_in_every_spelling_and_only_one_of_ours(operator: Operator) -> None:
    zone, media = operator.account.zone, operator.account.environment.domains.media
    zone.purged.clear()
    assert operator.asks("purge", "production", f"https://{media}/a%20(1).avif?x=1").returncode == 0
    assert zone.purged == [f"{media}/a%20(1).avif", f"{media}/a%20%281%29.avif"]
    assert operator.asks("purge", "production", "--all").returncode == 0
    assert zone.purged[2:] == [media]
    for words, value in (
        ([], "--all for every object of"),
        (["--all", f"{media}/a"], "--all for every object of"),
        (["https://elsewhere.example/a"], f"expected a URL of {media}"),
        ([media], "expected a URL with a path"),
    ):
        refused = operator.asks("purge", "production", *words)
        assert (refused.returncode, value in refused.stderr) == (2, True), refused.stderr
    assert len(zone.purged) == 3


def test_media_of_a_worker_cannot_be_purged(operator: Operator) -> None:
    """No purge of a zone reaches Workers Cache."""
    for words in (["https://media-dev.daadaar.com/a.avif"], ["--all"]):
        refused = operator.asks("purge", "dev", *words)
        assert refused.returncode == 2
        assert "no purge reaches Workers Cache (media.origin). It asks S3 again after 300 seconds" in refused.stderr


def test_everything_is_shown_with_whose_it_is(operator: Operator) -> None:
    shown = json.loads(operator.asks("show", "production", "--json").stdout)
    cache = shown["rules/http_request_cache_settings"]
    assert [each["ours"] for each in cache] == [False, False, True, True]
    table = operator.asks("show", "production").stdout
    assert "others'" in table
    assert "by hand, 0" in table


def test_a_missing_prerequisite_is_reported_with_its_remedy(operator: Operator) -> None:
    elsewhere = operator.asks("drift", "production", AWS_ACCESS_KEY_ID="999988887777")
    assert elsewhere.returncode == 1
    assert "is in the AWS account 111122223333; your credentials are of 999988887777" in elsewhere.stderr
    not_deployed = operator.asks("drift", "staging", AWS_ACCESS_KEY_ID="444455556666")
    assert not_deployed.returncode == 1
    assert "daadaar/cloudflare-token" in not_deployed.stderr
    unknown = operator.asks("drift", "prod")
    assert unknown.returncode == 2
    assert "one of dev, production, staging" in unknown.stderr
    began = time.monotonic()
    unreachable = operator.asks("drift", "production", CLOUDFLARE_BASE_URL="http://127.0.0.1:9")
    assert unreachable.returncode == 1
    assert "Cloudflare cannot be reached from here: http://127.0.0.1:9" in unreachable.stderr
    assert time.monotonic() - began < 20, "it was 38 seconds of silence"
