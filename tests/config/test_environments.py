"""The three environments themselves, and what is said of spoilt ones."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config import InvalidEnvironments, available, load, rules
from config.positions import line_of_keys
from config.rules import plan_supports_the_settings
from config.schema import SCHEMA, schema

ROOT = Path(__file__).resolve().parents[2]
SECRET = "hunter2-do-not-print"

# (what is wrong, text in production.toml, its replacement, dotted key in the message,
#  words that the message must contain)
MALFORMED = [
    ("unknown key", "multi_az = true", "multi_az = true\nmultiaz = true", "database.multiaz", "multi_az?"),
    ("unknown table", "[redis]", "[cache]\nsize = 1\n[redis]", "cache", "a key of the file"),
    ("unknown nested table", "[services.frontend.objective]", "[services.frontend.vercel]", "services.frontend.vercel",
     "amplify, command"),
    ("misspelt table", "[database]", "[databse]", "databse", "did you mean database?"),
    ("missing key", "pitr_days = 35\n", "", "database.pitr_days", "missing (an integer from 1 to 35)"),
    ("missing table", "[media]\n", "", "media", "missing"),
    ("text for a number", "storage_gib = 100", 'storage_gib = "100"', "database.storage_gib", "an integer from 20"),
    ("number for text", 'region = "eu-central-1"', "region = 1", "aws.region", "a string"),
    ("text for a truth", "multi_az = true", 'multi_az = "yes"', "database.multi_az", "true or false"),
    ("fraction for a number", "min_tasks = 3 # one", "min_tasks = 3.5 # one", "services.api.min_tasks", "an integer"),
    ("truth for a number", "pitr_days = 35", "pitr_days = true", "database.pitr_days", "an integer from 1 to 35"),
    ("date for text", 'account = "111122223333"', "account = 2026-11-22", "aws.account", "not a date"),
    ("text for a list", 'email = ["oncall@daadaar.com"]', 'email = "oncall@daadaar.com"', "alarms.critical.email", "array"),
    ("text for a table", "[redis]\n", 'redis = "elasticache"\n[rediss]\n', "redis", "a table"),
    ("not infinite", "storage_gib = 100", "storage_gib = inf", "database.storage_gib", "an integer"),
    ("too small", "pitr_days = 35", "pitr_days = 0", "database.pitr_days", "from 1 to 35"),
    ("too large", "pitr_days = 35", "pitr_days = 36", "database.pitr_days", "from 1 to 35"),
    ("not one of the choices", 'nat = "per-az"', 'nat = "perzone"', "network.nat", '"per-az", "single", "instance"'),
    ("account of eleven digits", '"111122223333"', '"11112222333"', "aws.account", "like"),
    ("a region that is a zone", 'region = "eu-central-1"', 'region = "eu-central-1a"', "aws.region", "eu-central-1"),
    ("an x86 database", 'instance = "r8g.large"', 'instance = "r6i.large"', "database.instance", "t4g.medium"),
    ("address without @", '"oncall@daadaar.com"', '"oncall"', "alarms.critical.email", "wrong at position 1"),
    ("a zone twice", '"eu-central-1c"]', '"eu-central-1b"]', "network.availability_zones", "all different"),
    ("host bits in the CIDR", '"10.20.0.0/16"', '"10.20.0.1/16"', "network.cidr", "without host bits"),
    ("a public CIDR", '"10.20.0.0/16"', '"8.8.0.0/16"', "network.cidr", "RFC 1918"),
    ("no CIDR at all", '"10.20.0.0/16"', '"ten"', "network.cidr", "10.20.0.0/16"),
    ("latest", "node:24-alpine", "node:latest", "bootstrap_image", "other than latest"),
    ("uppercase bucket", "daadaar-media-frkia", "Daadaar-media", "media.bucket", "a string like"),
    ("bucket with dots", "daadaar-media-frkia", "media.daadaar.com", "media.bucket", "a string like"),
    ("bucket name S3 reserves", "daadaar-media-frkia", "daadaar-s3alias", "media.bucket", "reserves"),
    ("min above max", "min_tasks = 3 # one", "min_tasks = 30 # one", "services.api.min_tasks", "at most services.api.max_tasks, which is 24"),
    ("memory Fargate lacks", "memory_mib = 2048\nmin_tasks = 3 # one", "memory_mib = 2500\nmin_tasks = 3 # one",
     "services.api.memory_mib", "steps of 1024"),
    ("two zones for kept data", ', "eu-central-1c"]', "]", "network.availability_zones", "three zones"),
    ("zones of another region", '"eu-central-1a",', '"eu-west-1a",', "network.availability_zones", "zones of eu-central-1"),
    ("CIDR too small for its subnets", '"10.20.0.0/16"', '"10.20.0.0/23"', "network.cidr", "from /16 to /22"),
    ("host outside of the zone", 'host = "api.daadaar.com"', 'host = "api.example.com"', "services.api.host", "ends in .daadaar.com"),
    ("one host for two", 'host = "api.daadaar.com"', 'host = "daadaar.com"', "services.frontend.host", "a unique name"),
    ("a redirect from outside", '"www.daadaar.com"', '"www.example.com"', "domains.redirects.www.example.com", "ends in .daadaar.com"),
    ("a redirect of the site to itself", '"www.daadaar.com"', '"daadaar.com"', "domains.redirects.daadaar.com", "a unique name"),
    ("a redirect to nothing", '"www.daadaar.com" = "frontend"', '"www.daadaar.com" = "nobody"', "domains.redirects.www.daadaar.com", "a service with a host"),
    ("storage that cannot grow", "max_storage_gib = 1000", "max_storage_gib = 101", "database.max_storage_gib", "at least 110"),
    ("half a pair of endpoints", '"ecr.dkr", ', "", "network.interface_endpoints", "a pull needs both"),
    ("kept and recoverable for a day", "pitr_days = 35", "pitr_days = 1", "database.pitr_days", "7 to 35"),
    ("objectives that nothing measures", "restore_drills = true\n", "", "database.restore_drills", "only restore drills measure rpo_minutes and rto_minutes"),
    ("drills without an objective", "rto_minutes = 240\n", "", "database.rto_minutes", "which restore_drills compare"),
    ("backups that expire before the next", "pitr_days = 35", "pitr_days = 1", "database.pitr_days", "longer than the day between two backups"),
    ("sooner than RDS saves the log", "rpo_minutes = 15", "rpo_minutes = 5", "database.rpo_minutes", "from 10 to 1440"),
    ("kept on one instance", "multi_az = true", "multi_az = false", "database.multi_az", "one zone may be lost"),
    ("kept behind one NAT", 'nat = "per-az"', 'nat = "single"', "network.nat", "one zone may be lost"),
    ("kept on Spot", "min_tasks = 3 # one", "spot = true\nmin_tasks = 3 # one", "services.api.spot", "Spot may end every task"),
    ("kept and unwatched", '[alarms.warning]\nemail = ["engineering@daadaar.com"]\nslack_channel = "C0123ABCDEF"\n',
     "[alarms.warning]\n", "alarms.warning", "at least one"),
    ("a zone's owner without an address", 'email = ["oncall@daadaar.com"]\n', "", "alarms.critical.email", "[cloudflare.zone]"),
    ("Slack without its workspace", 'slack_workspace = "T0123ABCDEF"\n', "", "alarms.slack_workspace", "the id"),
    ("a channel by its name", '"C0456ABCDEF"', '"#alarms"', "alarms.info.slack_channel", "matches"),
    ("a webhook by its URL", '"daadaar/pagerduty-key"', '"https://events.example.com/x"', "alarms.critical.webhook_secret",
     "matches"),
    ("disposable without a reason", 'data = "keep"', 'data = "disposable"', "protection.reason", "why this data"),
    ("a reason that is none", 'data = "keep"', 'data = "disposable"\nreason = "because"', "protection.reason", "20 char"),
    ("more connections than the database has", "database_connections = 10", "database_connections = 40",
     "services.api.database_connections", "at most 33"),
    ("a site without a repository", 'repository = "daadaar/frontend"\n', "", "services.frontend.repository",
     "the repository of its code"),
    ("the repository that deploys", '"daadaar/backend"', '"daadaar/infrastructure"', "services.api.repository",
     "may change everything"),
    ("the same in another spelling", '"daadaar/backend"', '"Daadaar@1/Infrastructure@2"', "services.api.repository",
     "may change everything"),
    ("an owner without an id", '"daadaar/backend"', '"daadaar/backend@2"', "services.api.repository",
     "example@123456/backend@789012"),
    ("an id that is none", '"daadaar/backend"', '"daadaar@1/backend@*"', "services.api.repository",
     "example@123456/backend@789012"),
    ("the environment that looks for drift", 'environment = "production"', 'environment = "Staging-Drift"',
     "delivery.environment", "Staging-Drift would be the drift environment of Staging"),
    ("a bake that outlasts the job", "bake_minutes = 15\nredis", "bake_minutes = 200\nredis", "services.api.bake_minutes",
     "at most 90 for each service"),
    ("migrations that outlast the job", "[services.api.migrations]\n", "[services.api.migrations]\nminutes = 240\n",
     "services.api.migrations.minutes", "at most 200"),
    ("no command to migrate with", 'command = ["node_modules/.bin/drizzle-kit", "migrate"]', "command = []",
     "services.api.migrations.command", "at least 1"),
    ("two ways to host", "[services.frontend.sentry]", '[services.frontend.amplify]\nrepository = "a/b"\nbranch = "main"\n'
     'access_token_secret = "gh"\n[services.frontend.sentry]', "services.frontend.cpu", "Amplify builds and runs"),
    ("a shorter time than the plan has", '"og/" = 7200', '"og/" = 600', "media.ttl_seconds.og/", "at least 3600"),
    ("a time of no seconds", '"og/" = 7200', '"og/" = 0', "media.ttl_seconds.og/", "60 to 604800"),
    ("a prefix that is a path", '"og/" = 7200', '"/og/" = 3600', "media.ttl_seconds./og/", "og/"),
    ("a prefix that is a name", '"og/" = 7200', '"og" = 3600', "media.ttl_seconds.og", "og/"),
    ("a prefix with a quote", '"og/" = 7200', "'o\"g/' = 3600", 'media.ttl_seconds.o"g/', "og/"),
    ("a prefix within another", '"og/" = 7200', '"og/" = 7200\n"og/a/" = 7200', "media.ttl_seconds.og/a/", "(og/)"),
    ("static files", '"og/" = 7200', '"_next/static/" = 3600', "media.ttl_seconds._next/static/", "a new name"),
    ("staging's bucket", "daadaar-media-frkia", "daadaar-media-staging-frkia", "", "no other environment uses"),
    ("no provider in the account", "owns_oidc_provider = true", "owns_oidc_provider = false",
     "delivery.owns_oidc_provider", "exactly one environment of account"),
    ("no certificate at the edge", 'host = "api.daadaar.com"', 'host = "api.eu.daadaar.com"', "services.api.host", "one level only"),
    ("another plan than the others", 'plan = "pro"', 'plan = "business"', "", "they share the zone"),
    ("a plan of one's own", 'plan = "pro"', 'plan = "plus"', "cloudflare.plan", '"business"'),
    ("a third limit of two", "[cloudflare.zone.owasp]", "[cloudflare.rate_limits.more]\nservice = \"api\"\npath = \"/x\"\nrequests = 1\n"
     "period_seconds = 10\nblock_seconds = 10\n[cloudflare.zone.owasp]", "", "that is all of the plan pro"),
    ("a period too long", "period_seconds = 60", "period_seconds = 600", "cloudflare.rate_limits.sign-in.period_seconds",
     "at most 60"),
    ("a block too long", "block_seconds = 600", "block_seconds = 86400", "cloudflare.rate_limits.sign-in.block_seconds",
     "at most 3600"),
    ("a limit without a path", 'path = "/api/auth/"\n', "", "cloudflare.rate_limits.sign-in.path", "it is missing"),
    ("a limit with a bad name", "rate_limits.sign-in", "rate_limits.Sign_In", "cloudflare.rate_limits.Sign_In", "a name"),
    ("a limit that is a number", "[cloudflare.rate_limits.sign-in]", "[cloudflare.rate_limits]\nother = 3\n"
     "[cloudflare.rate_limits.sign-in]", "cloudflare.rate_limits.other", "a table"),
    ("managed rules undecided", "[cloudflare.zone.owasp]\n", "[cloudflare.zone]\n[cloudflare.zone.unknown]\n",
     "cloudflare.zone.owasp", "you decide its settings"),
    ("a token in the file", 'token_secret = "', f'token = "{SECRET}"\ntoken_secret = "', "cloudflare.token", "********"),
    ("broken TOML", "[database]", "[database", "file", "valid TOML"),
    ("an instance that is none", 'serves = "main"', 'serves = "mian"', "redis.serves", "the name of an instance: main"),
    ("an instance in two ways", "[redis.instances.main.elasticache]", "[redis.instances.main.external]\nurl_secret = 'x'\n"
     "ports = [6379]\n[redis.instances.main.elasticache]", "redis.instances.main", "exactly one of the tables"),
    ("an instance in no way", "[media]", "[redis.instances.next]\n[media]", "redis.instances.next", "exactly one of"),
    ("an engine that is none", "replicas = 2 #", 'engine = "redis-7"\nreplicas = 2 #',
     "redis.instances.main.elasticache.engine", '"valkey-8.1"'),
    ("shards without replicas", "replicas = 2 #", "shards = 3\nreplicas = 0 #",
     "redis.instances.main.elasticache.replicas", "as there are shards"),
    ("reading where it is written", "[media]", "[redis.instances.next.upstash]\ncredentials_secret = 'x'\n"
     "region = 'eu-west-1'\nread_regions = ['eu-west-1']\n[media]", "redis.instances.next.upstash.read_regions", "other than"),
    ("a URL for the name of its secret", "[media]", f"[redis.instances.next.external]\nports = [6379]\n"
     f"url_secret = 'rediss://u:{SECRET}@h:6379'\n[media]", "redis.instances.next.external.url_secret", "as a URL, this value is valid"),
    ("a bad URL for the name of its secret", "[media]", f"[redis.instances.next.external]\nports = [6379]\n"
     f"url_secret = 'rediss://u:{SECRET}@h@h:6379'\n[media]", "redis.instances.next.external.url_secret", "one @ at most"),
    ("a name that ECS takes for a whole ARN", "[media]", "[redis.instances.next.external]\nports = [6379]\n"
     "url_secret = 'daadaar/redis-secret'\n[media]", "redis.instances.next.external.url_secret", "six characters"),
    ("a key that is none", '"phc_0123456789abcdefghijABCDEFGHIJ"', '"phx_secret"', "posthog.project_key", "a string like"),
    ("an objective beyond the possible", "availability_percent = 99.9 # three", "availability_percent = 100.0 # three",
     "services.api.objective.availability_percent", "a number from 90 to 99.99"),
    ("a month for nothing", "monthly_usd = 1500", "monthly_usd = 0", "costs.monthly_usd", "from 1"),
    ("previews of what is kept", "[alarms]", "[previews]\nslots = 1\nhours = 1\n[alarms]", "previews", "disposable"),
    ("previews beside an apex", "[alarms]", "[previews]\nslots = 1\nhours = 1\n[alarms]", "services.frontend.host", "a label before"),
    ("a name that is a preview's", 'host = "api.daadaar.com"', 'host = "dev-preview-1.daadaar.com"', "services.api.host",
     "dev has it already"),
    ("a preview that stays", "[alarms]", "[previews]\nslots = 1\nhours = 400\n[alarms]", "previews.hours", "to 336"),
    ("a secret where it should not be", "[redis]", f'[redis]\npassword = "{SECRET}"', "redis.password", "********"),
    ("a secret inside of a URL", "[redis]", f'[redis]\nurl = "rediss://u:{SECRET}@h:6379"', "redis.url", "********"),
]  # fmt: skip


def spoil(directory: Path, old: str, new: str) -> None:
    file = directory / "production.toml"
    text = file.read_text()
    assert old in text, f"{old!r} is no longer in production.toml"
    file.write_text(text.replace(old, new, 1))


def problems(directory: Path, names: list[str] | None = None) -> list[str]:
    with pytest.raises(InvalidEnvironments) as invalid:
        load(names or [], directory=directory)
    return [str(problem) for problem in invalid.value.problems]


def test_the_environments_are_valid() -> None:
    assert set(load()) == set(available()) == {"dev", "staging", "production"}


@pytest.mark.parametrize(
    ("old", "new", "key", "words"), [case[1:] for case in MALFORMED], ids=[c[0] for c in MALFORMED]
)
def test_a_malformed_environment_is_refused(old: str, new: str, key: str, words: str, environments: Path) -> None:
    spoil(environments, old, new)
    found = problems(environments)
    assert any(words in each for each in found), found
    about = next(each for each in found if words in each)
    assert re.match(rf"\S+/(dev|production|staging)\.toml:\d+: {re.escape(key)}", about)
    assert len(about.splitlines()) <= 3
    assert SECRET not in "".join(found)


@pytest.mark.parametrize(
    ("name", "about"),
    [
        ("Production", "file"),
        ("pre_production", "file"),
        ("pre-", "file"),
        ("pre-production", None),
        ("pre-production-of-europe", "product"),
    ],
)
def test_names_of_environments_are_ones_that_aws_takes(name: str, about: str | None, environments: Path) -> None:
    """ECR refuses a longer prefix, and one with capitals; CloudFormation a stack with an underscore in its name."""
    file = environments / "production.toml"
    text = file.read_text()
    file.unlink()
    (environments / f"{name}.toml").write_text(text)
    if about is None:
        assert name in load(directory=environments)
        return
    (found,) = problems(environments)
    assert re.match(rf"\S+/{name}\.toml:\d+: {about}\b", found)


def test_there_are_enough_malformed_environments() -> None:
    assert len(MALFORMED) >= 40


@pytest.mark.parametrize(("times", "fits"), [(9, True), (10, False)])
def test_media_lifetimes_are_limited_by_the_plans_cache_rules(times: int, fits: bool) -> None:
    production = load(["production"])["production"]
    ttl = {f"{letter}{number}/": 7200 + number for number in range(times) for letter in "ab"}
    changed = {
        "cloudflare": production.cloudflare.model_copy(update={"plan": "free"}),
        "media": production.media.model_copy(update={"ttl_seconds": ttl}),
    }
    found = {each.key: each.expected for each in plan_supports_the_settings(production.model_copy(update=changed))}
    assert ("media.ttl_seconds" not in found) is fits
    assert fits or "at most 9 different values" in found["media.ttl_seconds"]


def test_the_line_is_the_one_at_fault(environments: Path) -> None:
    spoil(environments, "pitr_days = 35", "pitr_days = 0")
    line = (environments / "production.toml").read_text().splitlines().index("pitr_days = 0") + 1
    assert problems(environments)[0].startswith(f"{environments}/production.toml:{line}: database.pitr_days = 0\n")


def test_all_errors_are_reported_in_one_run(environments: Path) -> None:
    """A bad value hides neither another nor a contradiction between good ones, nor another file's faults."""
    spoil(environments, "pitr_days = 35", "pitr_days = 0")
    spoil(environments, 'nat = "per-az"', 'nat = "perzone"')
    spoil(environments, "min_tasks = 3 # one", "min_tasks = 30 # one")
    spoil(environments, 'host = "api.daadaar.com"', 'host = "api.example.com"')
    dev = environments / "dev.toml"
    dev.write_text(dev.read_text().replace("replicas = 0", "replicas = 9"))
    text = "\n".join(problems(environments))
    for key in (
        "database.pitr_days",
        "network.nat",
        "services.api.min_tasks",
        "services.api.host",
        "redis.instances.main.elasticache.replicas",
    ):
        assert f": {key}" in text


@pytest.mark.parametrize("spoilt", ["dev", "staging", "production"])
def test_a_fault_elsewhere_does_not_stop_an_environment(spoilt: str, environments: Path) -> None:
    """This also holds if the other one owns something unique: the OIDC provider, the zone, an earlier deployment."""
    (environments / f"{spoilt}.toml").write_text("product = 1\n")
    for name in {"dev", "staging", "production"} - {spoilt}:
        assert set(load([name], directory=environments)) == {name}


def copy_of_production(environments: Path) -> None:
    """Copies production's file for a new environment, with production's names still in it."""
    (environments / "canary.toml").write_text((environments / "production.toml").read_text())


@pytest.mark.parametrize(("name", "other"), [("canary", "production"), ("production", "canary")])
def test_a_conflict_is_reported_for_both_environments(name: str, other: str, environments: Path) -> None:
    copy_of_production(environments)
    with pytest.raises(InvalidEnvironments) as invalid:
        load([name], directory=environments)
    text = str(invalid.value)
    for key in (
        "media.bucket",
        "services.api.host",
        "services.api.repository",
        "delivery.environment",
        "delivery.owns_oidc_provider",
        "cloudflare.zone",
        "alarms.critical.slack_channel",
    ):
        assert f": {key}" in text
    assert f"{other} has it already" in text


def notify_slack(environments: Path, name: str, routes: str) -> None:
    file = environments / f"{name}.toml"
    table = f'[alarms]\nslack_workspace = "T0123ABCDEF"\n{routes}\n'
    file.write_text(re.sub(r"(?m)^\[alarms\]\n(.+\n)+", table, file.read_text()))


def test_two_environments_of_one_account_need_two_slack_channels(environments: Path) -> None:
    """A channel of another severity conflicts, too. Production has its own account and may use any channel."""
    notify_slack(environments, "dev", 'critical.slack_channel = "C0123ABCDEF"\nwarning.slack_channel = "C0123ABCDEF"')
    notify_slack(environments, "staging", 'critical.email = ["a@example.com"]\nwarning.slack_channel = "C0456ABCDEF"')
    assert set(load(directory=environments)) == {"dev", "production", "staging"}
    notify_slack(environments, "staging", 'critical.email = ["a@example.com"]\nwarning.slack_channel = "C0123ABCDEF"')
    found = problems(environments)
    assert [re.sub(r"(?s).*/(\w+)\.toml:\d+: (\S+) .*", r"\1 \2", each) for each in sorted(found)] == [
        "dev alarms.critical.slack_channel",
        "dev alarms.warning.slack_channel",
        "staging alarms.warning.slack_channel",
    ]
    assert all("Amazon Q takes a channel once in an account" in each for each in found), found


def test_a_deployed_environment_can_be_operated_beside_the_draft_of_another(environments: Path) -> None:
    copy_of_production(environments)
    assert set(load(["production"], directory=environments, is_deployed=True)) == {"production"}


@pytest.mark.parametrize(
    ("name", "after", "expected"),
    [
        ("dev", "dev", "one of production, staging"),
        ("dev", "prod", "one of production, staging"),
        ("dev", "production", "dev after production after staging after dev"),
        ("staging", "production", "staging after production after staging"),
    ],
)
def test_an_environment_is_deployed_after_another_that_exists(
    name: str, after: str, expected: str, environments: Path
) -> None:
    file = environments / f"{name}.toml"
    kept = re.sub(r"^after = .*\n", "", file.read_text(), flags=re.MULTILINE)
    file.write_text(kept.replace("[delivery]\n", f'[delivery]\nafter = "{after}"\n'))
    with pytest.raises(InvalidEnvironments) as invalid:
        load([name], directory=environments)
    (output,) = map(str, invalid.value.problems)
    assert re.search(rf'{name}\.toml:\d+: delivery\.after = "{after}"', output)
    assert expected in output


def test_a_missing_after_does_not_deploy_production_together_with_dev(environments: Path) -> None:
    spoil(environments, 'after = "staging"\n', "")
    found = problems(environments)
    assert len(found) == 2, found
    for name, each in zip(("dev", "production"), sorted(found), strict=True):
        assert f"{name}.toml" in each
        assert "delivery.after" in each
        assert "missing in: dev, production" in each


def test_a_removed_environment_in_delivery_after_is_reported(environments: Path) -> None:
    (environments / "dev.toml").unlink()
    (found,) = problems(environments)
    assert "staging.toml" in found
    assert 'delivery.after = "dev"' in found
    (environments / "staging.toml").unlink()
    assert any("absent where it is deployed first" in each for each in problems(environments))


def test_an_unknown_environment_is_reported_with_the_nearest_name() -> None:
    with pytest.raises(InvalidEnvironments) as invalid:
        load(["prodution"])
    assert "did you mean production?" in str(invalid.value)


def test_a_network_too_small_for_its_tasks_is_refused(environments: Path) -> None:
    spoil(environments, '"10.20.0.0/16"', '"10.20.0.0/22"')
    spoil(environments, "max_tasks = 24", "max_tasks = 240")
    found = problems(environments)
    assert "room for 516 tasks (blue and green at max_tasks) in 2 of 3 zones" in found[0]
    assert "a /22 gives 123 addresses in each zone's private subnet" in found[0]


def free(directory: Path) -> None:
    """All three environments on the free plan."""
    for file in directory.glob("*.toml"):
        text = re.sub(r"\[cloudflare.rate_limits[^\[]*", "", file.read_text().replace('plan = "pro"', 'plan = "free"'))
        file.write_text(re.sub(r"\[cloudflare.zone.owasp\][^\[]*", "[cloudflare.zone]\n\n", text))


def without_dev(directory: Path) -> None:
    (directory / "dev.toml").unlink()
    staging = directory / "staging.toml"
    staging.write_text(staging.read_text().replace('after = "dev"\n', ""))


def test_the_free_plan_refuses_only_what_it_lacks(environments: Path) -> None:
    free(environments)
    found, *others = problems(environments)
    assert len(others) == 2, "all that share the zone"
    assert "at most 5 rules of http_request_firewall_custom in daadaar.com: that is all of the plan free" in found
    without_dev(environments)
    assert set(load(directory=environments)) == {"staging", "production"}


@pytest.mark.parametrize(("addition", "words"), [
    ("[cloudflare.zone.owasp]\nparanoia = 1\nthreshold = 60\n", "which has OWASP and Cloudflare's managed rules"),
    ("[cloudflare.rate_limits.a]\nservice = \"api\"\npath = \"/\"\nrequests = 9\nperiod_seconds = 60\nblock_seconds = 10\n", "at most 10"),
])  # fmt: skip
def test_the_free_plans_limits_are_reported(addition: str, words: str, environments: Path) -> None:
    free(environments)
    without_dev(environments)
    spoil(environments, "[network]", f"{addition}\n[network]")
    assert words in "".join(problems(environments))


def test_a_zone_has_one_owner(environments: Path) -> None:
    file = environments / "staging.toml"
    owasp = "[cloudflare.zone.owasp]\nparanoia = 1\nthreshold = 60\n\n[network]"
    file.write_text(file.read_text().replace("[network]", owasp, 1))
    reported = problems(environments)
    assert any("in exactly one environment of daadaar.com" in each for each in reported)
    assert any("found in: production, staging" in each for each in reported)


def run(*command: str, context: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "CDK_CONTEXT_JSON": json.dumps(context or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def test_app_ends_with_2_and_without_a_traceback(environments: Path) -> None:
    spoil(environments, "pitr_days = 35", "pitr_days = 0")
    done = run("app.py", context={"environments": str(environments)})
    assert (done.returncode, done.stdout) == (2, "")
    assert "database.pitr_days = 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_rehearsal_ends_with_2_and_without_a_traceback() -> None:
    done = run("-m", "rehearsal", "prodution")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean production?" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_rule_is_applied() -> None:
    functions = {
        name for name, each in vars(rules).items() if inspect.isfunction(each) and each.__module__ == rules.__name__
    }
    applied = {each.__name__ for each in (*rules.RULES, *rules.BETWEEN_ENVIRONMENTS)}
    assert {name for name in functions - applied if not name.startswith("_")} == {"rules_by_phase"}
    assert len(rules.RULES) >= 40 and len(rules.BETWEEN_ENVIRONMENTS) >= 5


def test_the_schema_is_the_models() -> None:
    assert SCHEMA.read_text() == schema(), "make accept"


def test_lines_are_found_past_strings_and_arrays() -> None:
    text = 'a = 1\n[t]\nb = [\n  "x = [",\n  "y",\n]\nc = """\nd = 4\n"""\ne = {f = 1}\n[t.u]\n"g h".i = 2 # ] =\n'
    assert line_of_keys(text) == {
        "a": 1, "t": 2, "t.b": 3, "t.c": 7, "t.e": 10, "t.e.f": 10, "t.u": 11, "t.u.g h": 12, "t.u.g h.i": 12,
    }  # fmt: skip
