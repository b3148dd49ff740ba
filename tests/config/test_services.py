"""The tables of services and jobs: what is refused, with file, line, key and what would be right."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from config import InvalidEnvironments, load, services, variables
from config.model import Job, Section, Service
from config.previews import hosts

WORKER = '[services.mailer]\nruns = "api"\ncommand = ["node", "worker.mjs"]\n'
AMPLIFY = """[services.shop]
site = true
host = "shop.daadaar.com"
[services.shop.amplify]
repository = "a/b"
branch = "main"
access_token_secret = "gh"
"""
JOB = '[jobs.clean]\nruns = "api"\nschedule = "rate(1 day)"\ncommand = ["node", "clean.mjs"]\n'
SHOP = """[services.shop]
host = "shop.daadaar.com"
repository = "daadaar/shop"
port = 8080
health_path = "/up"
min_tasks = 2
max_tasks = 4
"""
DATABASE = 'needs = ["database"]\ndatabase_connections = 1\n'
SENTRY = '[services.shop.sentry]\nproject = "shop"\ndsn = "https://0123456789abcdef@o1.ingest.de.sentry.io/1"\n'
JOBS = """serves = "main"
queue = "jobs"

[redis.instances.jobs]
eviction = false

[redis.instances.jobs.elasticache]
node = "cache.t4g.small"
replicas = 1
"""
SCALING = '[services.mailer.queue]\nkeys = ["bull:mail:wait"]\njobs_per_task = 100\n'
QUEUED = WORKER + 'needs = ["queue"]\nmin_tasks = 1\nmax_tasks = 9\n' + SCALING


def queue(old: str = "", new: str = "", *, worker: str = "") -> tuple[str, str]:
    """Replacements that add a queue next to production's cache, with one difference, and a worker."""
    assert old in JOBS
    return 'serves = "main"\n', f"{JOBS.replace(old, new, 1)}\n{worker}"


# (what is added before [sentry], or (old, new) replaced in production's file; the key; words of what is expected)
REFUSED: list[tuple[str | tuple[str, str], str, str]] = [
    # names
    ("[services.Mail]\n", "services.Mail", "a name that is"),
    ("[services.mail_er]\n", "services.mail_er", "a name that is"),
    ("[services.a-name-that-is-too-long]\n", "services.a-name-that-is-too-long", "a name that is"),
    (SHOP.replace("services.shop", "services.network"), "services.network", "one of our stacks"),
    (SHOP.replace("services.shop", "services.preview2"), "services.preview2", "one of our stacks"),
    (SHOP.replace("services.shop", "services.media"), "services.media", "one of our stacks"),
    (SHOP.replace("services.shop", "services.api-preview"), "services.api-preview",
     "pull requests of api run in production-api-preview"),
    # required keys of a service
    (SHOP.replace('repository = "daadaar/shop"\n', ""), "services.shop.repository", "the repository of its code"),
    (SHOP.replace("port = 8080\n", ""), "services.shop.port", "by its host"),
    (SHOP.replace('health_path = "/up"\n', ""), "services.shop.health_path", "by its host"),
    (SHOP.replace("port = 8080", "port = 80"), "services.shop.port", "from 1024 to 65535"),
    (SHOP.replace("port = 8080", 'port = "8080"'), "services.shop.port", "an integer"),
    (SHOP.replace('"/up"', '"up"'), "services.shop.health_path", "matches"),
    (SHOP + "cpu = 300\n", "services.shop.cpu", "one of 256, 512"),
    (SHOP + "memory_mib = 4096\n", "services.shop.memory_mib", "512 to 2048"),
    (SHOP.replace("min_tasks = 2", "min_tasks = 1"), "services.shop.min_tasks", "one zone may be lost"),
    (SHOP.replace("max_tasks = 4", "max_tasks = 1"), "services.shop.min_tasks", "at most services.shop.max_tasks"),
    (SHOP + "spot = true\n", "services.shop.spot", "Spot may end every task"),
    (SHOP + "command = []\n", "services.shop.command", "at least 1"),
    (SHOP + 'command = "node server.mjs"\n', "services.shop.command", "an array"),
    (SHOP + 'needs = ["postgres"]\n', "services.shop.needs", '"database", "redis", "queue", "media"'),
    (SHOP + 'needs = ["redis", "redis"]\n', "services.shop.needs", "all different"),
    (SHOP + 'needs = ["database"]\n', "services.shop.database_connections", "this key"),
    (SHOP + "database_connections = 3\n", "services.shop.database_connections", 'needs = ["database"]'),
    (SHOP + "[services.shop.migrations]\n", "services.shop.migrations", 'needs = ["database"]'),
    (SHOP + DATABASE + "[services.shop.migrations]\ncommand = []\n", "services.shop.migrations.command", "at least 1"),
    (SHOP + DATABASE + "[services.shop.migrations]\nminutes = 0\n", "services.shop.migrations.minutes",
     "from 1 to 240"),
    (SHOP + 'redis_health_path = "/redis"\n', "services.shop.redis_health_path", 'needs = ["redis"]'),
    (SHOP + 'needs = ["database"]\ndatabase_connections = 200\n', "services.shop.database_connections", "at most"),
    (SHOP + "bake_minutes = 3\n", "services.shop.bake_minutes", "from 5 to 1440"),
    (SHOP + "[services.shop.release_check]\n", "services.shop.release_check.path", "missing"),
    (SHOP + '[services.shop.release_check]\npath = "/r"\nversion_field = "a..b"\n',
     "services.shop.release_check.version_field", "a string like"),
    (SHOP + '[services.shop.release_check]\npath = "/r"\nexpect = { "x y" = "ok" }\n',
     "services.shop.release_check.expect.x y", "a name that is"),
    (SHOP + '[services.shop.release_check]\npath = "/r"\nexpect = { redis = true }\n',
     "services.shop.release_check.expect.redis", "a string, in quotes"),
    (SHOP + '[services.shop.release_check]\npath = "/r"\nrestart_minutes = 5\n',
     "services.shop.release_check.restart_minutes", "or expect"),
    (SHOP + '[services.shop.sentry]\nproject = "shop"\n', "services.shop.sentry.dsn", "missing"),
    (SHOP + 'replicas = 2\n', "services.shop.replicas", "a key of services.shop"),
    (SHOP + 'healthpath = "/up"\n', "services.shop.healthpath", "did you mean health_path?"),
    (SHOP.replace("max_tasks = 4", "max_tasks = 501"), "services.shop.max_tasks", "from 1 to 500"),
    (SHOP + 'architecture = "arm"\n', "services.shop.architecture", '"arm64", "x86_64"'),
    (SHOP + 'health_command = ["/up"]\n', "services.shop.health_command", "the load balancer requests"),
    (SHOP + 'writable = ["cache"]\n', "services.shop.writable", "wrong at position 1"),
    (SHOP + 'writable = ["/cache", "/cache"]\n', "services.shop.writable", "all different"),
    (SHOP + "[services.shop.objective]\navailability_percent = 100\nfast_percent = 95\nfast_seconds = 1\n",
     "services.shop.objective.availability_percent", "from 90 to 99.99"),
    (SHOP + "[services.shop.objective]\navailability_percent = 99\nfast_percent = 9.5\nfast_seconds = 1\n",
     "services.shop.objective.fast_percent", "from 50 to 99.9"),
    (SHOP + "[services.shop.objective]\navailability_percent = 99\nfast_percent = 95\nfast_seconds = '1 s'\n",
     "services.shop.objective.fast_seconds", "a number from"),
    (SHOP + SENTRY.replace('"shop"', '"My Shop"'), "services.shop.sentry.project", "a string like"),
    (SHOP + SENTRY + "traces_sample_rate = 10\n", "services.shop.sentry.traces_sample_rate", "from 0 to 1"),
    (SHOP + SENTRY + "profile_session_sample_rate = -1\n", "services.shop.sentry.profile_session_sample_rate",
     "from 0 to 1"),
    # no tables
    ("[services]\nshop = 'daadaar/shop'\n", "services.shop", "a table, [services.shop]"),
    ("[[services.shop]]\nport = 8080\n", "services.shop", "a table, [services.shop]"),
    (SHOP + "variables = ['A=b']\n", "services.shop.variables", "a table, [services.shop.variables]"),
    (SHOP + "secrets = 'daadaar/app'\n", "services.shop.secrets", "a table, [services.shop.secrets]"),
    (SHOP + "migrations = true\n", "services.shop.migrations", "a table, [services.shop.migrations]"),
    ("[jobs]\nclean = 'rate(1 day)'\n", "jobs.clean", "a table, [jobs.clean]"),
    ("[[jobs.clean]]\nruns = 'api'\n", "jobs.clean", "a table, [jobs.clean]"),
    # hosts
    (SHOP.replace("shop.daadaar.com", "shop.example.com"), "services.shop.host", "ends in .daadaar.com"),
    (SHOP.replace("shop.daadaar.com", "api.daadaar.com"), "services.shop.host", "services.api.host is the same"),
    (SHOP.replace("shop.daadaar.com", "media.daadaar.com"), "domains.media", "services.shop.host is the same"),
    (SHOP.replace("shop.daadaar.com", "a.shop.daadaar.com"), "services.shop.host", "one level only"),
    (SHOP.replace("shop.daadaar.com", "api-staging.daadaar.com"), "services.shop.host", "staging has it already"),
    (SHOP + 'former_host = "store.daadaar.com"\n', "services.shop.former_host", '"store.daadaar.com" = "shop"'),
    (SHOP + 'former_host = "www.daadaar.com"\n', "services.shop.former_host", '"www.daadaar.com" = "shop"'),
    (WORKER + 'former_host = "store.daadaar.com"\n', "services.mailer.former_host", "a worker"),
    (AMPLIFY.replace("site", 'former_host = "store.daadaar.com"\nsite', 1), "services.shop.former_host",
     "Amplify builds and runs"),
    (SHOP.replace("services.shop", "services.shop-amplify"), "services.shop-amplify", "sites on Amplify end in"),
    # a worker
    (WORKER.replace('runs = "api"', 'runs = "apii"'), "services.mailer.runs", "a service with its own image"),
    (WORKER.replace('runs = "api"', 'runs = "mailer"'), "services.mailer.runs", "a service with its own image"),
    (WORKER.replace('runs = "api"\n', ""), "services.mailer.repository", "the repository of its code"),
    (WORKER + 'repository = "daadaar/mailer"\n', "services.mailer.repository", "it runs the image of api"),
    (WORKER + "port = 4000\n", "services.mailer.port", "a worker"),
    (WORKER + "target_group_port = 4000\n", "services.mailer.target_group_port", "a worker"),
    (WORKER + 'health_path = "/up"\n', "services.mailer.health_path", "a worker"),
    (SHOP + "sticky_minutes = 0\n", "services.shop.sticky_minutes", "from 1 to 10080"),
    (WORKER + "sticky_minutes = 5\n", "services.mailer.sticky_minutes", "a worker"),
    (WORKER + "site = true\n", "services.mailer.site", "a worker"),
    (WORKER + '[services.mailer.release_check]\npath = "/r"\n', "services.mailer.release_check", "a worker"),
    (WORKER + 'needs = ["database"]\ndatabase_connections = 2\n[services.mailer.migrations]\n',
     "services.mailer.migrations", "it runs the image of api"),
    (WORKER + '[services.second]\nruns = "mailer"\n', "services.second.runs", "a service with its own image"),
    # variables and secrets
    (SHOP + "[services.shop.variables]\nA-B = 'x'\n", "services.shop.variables.A-B", "a name that is"),
    (SHOP + "[services.shop.variables]\nWORKERS = 4\n", "services.shop.variables.WORKERS", "a string, in quotes"),
    (SHOP + "[services.shop.variables]\nPORT = '1'\n", "services.shop.variables.PORT", "services.shop.port"),
    (SHOP + "[services.shop.variables]\nRELEASE = '1'\n", "services.shop.variables.RELEASE", "always"),
    (SHOP + 'needs = ["media"]\n[services.shop.variables]\nMEDIA_URL = "x"\n', "services.shop.variables.MEDIA_URL",
     'services.shop.needs, "media"'),
    (SHOP + 'site = true\n[services.shop.variables]\nNOTE = "a\\nb"\n', "services.shop.variables.NOTE", "one line"),
    (SHOP + "[services.shop.variables]\nURL = '${services.apii.url}'\n", "services.shop.variables.URL",
     "did you mean ${services.api.url}?"),
    (SHOP + "[services.shop.variables]\nKEY = 'postgres://u:hunter2@h/db'\n", "services.shop.variables.KEY",
     "[services.shop.secrets]"),
    (SHOP + "[services.shop.variables]\nKEY = 'x'\n[services.shop.secrets]\nKEY = 'daadaar/key'\n",
     "services.shop.secrets.KEY", "services.shop.variables.KEY exists"),
    (SHOP + "[services.shop.secrets]\nKEY = 'daadaar/key:a:b'\n", "services.shop.secrets.KEY", "one field"),
    (SHOP + "[services.shop.secrets]\nKEY = 'arn:aws:secretsmanager:x:1:secret:y'\n", "services.shop.secrets.KEY",
     "one field"),
    (SHOP + "[services.shop.secrets]\nKEY = 'daadaar/redis-secret'\n", "services.shop.secrets.KEY", "six characters"),
    (SHOP + "[services.shop.secrets]\nPORT = 'daadaar/port'\n", "services.shop.secrets.PORT", "services.shop.port"),
    # Amplify
    (SHOP + '[services.shop.amplify]\nrepository = "a/b"\nbranch = "main"\naccess_token_secret = "gh"\n',
     "services.shop.amplify", "only sites"),
    ('[services.shop]\nsite = true\nhost = "shop.daadaar.com"\ncpu = 512\n[services.shop.amplify]\nrepository = "a/b"\n'
     'branch = "main"\naccess_token_secret = "gh"\n', "services.shop.cpu", "Amplify builds and runs"),
    (AMPLIFY.replace("site", 'needs = ["media", "redis"]\nsite', 1), "services.shop.needs", "outside the VPC"),
    (AMPLIFY.replace("shop.daadaar", f"{'shop' * 14}.daadaar"), "services.shop.host", "at most 64 characters"),
    (AMPLIFY + "[services.shop.variables]\nAWS_X = 'y'\n", "services.shop.variables.AWS_X", "not begin with AWS"),
    (AMPLIFY + "[services.shop.secrets]\nKEY = 'daadaar/key'\n", "services.shop.secrets", "shows a site's"),
    (AMPLIFY.replace('"a/b"', '"https://github.com/a/b"'), "services.shop.amplify.repository", "a string like"),
    (AMPLIFY.replace('"main"', '""'), "services.shop.amplify.branch", "at least 1"),
    (AMPLIFY.replace('"gh"', '"ghp_hunter2 token"'), "services.shop.amplify.access_token_secret", "a string"),
    # jobs
    (JOB + "cpu = 100\n", "jobs.clean.cpu", "one of 256"),
    (JOB + "overdue_hours = 0\n", "jobs.clean.overdue_hours", "from 1 to 10000"),
    (JOB.replace('"api"', '"apii"'), "jobs.clean.runs", "a service on ECS: api, frontend"),
    (JOB.replace("rate(1 day)", "daily"), "jobs.clean.schedule", "cron(30 3 * * ? *)"),
    (JOB.replace("rate(1 day)", "rate(1 days)"), "jobs.clean.schedule", "rate(15 minutes)"),
    (JOB.replace('command = ["node", "clean.mjs"]\n', ""), "jobs.clean.command", "missing"),
    (JOB + "retries = 9\n", "jobs.clean.retries", "from 0 to 5"),
    (JOB + "minutes = 0\n", "jobs.clean.minutes", "from 1 to 1440"),
    (JOB + "cpu = 4096\n", "jobs.clean.memory_mib", "8192 to 30720"),
    (JOB.replace("jobs.clean", "jobs.api"), "jobs.api", "services.api exists"),
    ("".join(JOB.replace("jobs.clean", f"jobs.clean-{each}") for each in range(17)), "jobs",
     "at most 16 jobs of one service; api has 17"),
    # queues
    (queue("eviction = false", "eviction = true"), "redis.queue", "an instance with eviction = false"),
    (queue('queue = "jobs"', 'queue = "jbos"'), "redis.queue", "an instance with eviction = false: jobs"),
    (queue("eviction = false", 'eviction = "no"'), "redis.instances.jobs.eviction", "true or false"),
    (queue('serves = "main"', 'serves = "jobs"'), "redis.serves", "an instance with eviction: main"),
    (queue("replicas = 1", "replicas = 0"), "redis.instances.jobs.elasticache.replicas", "one zone may be lost"),
    (queue("replicas = 1", "replicas = 1\nshards = 3"), "redis.instances.jobs.elasticache.shards", "one shard"),
    (SHOP + 'needs = ["queue"]\n', "services.shop.needs", "redis.queue"),
    (queue(worker=SHOP + 'needs = ["queue"]\n[services.shop.variables]\nREDIS_QUEUE_URL = "x"\n'),
     "services.shop.variables.REDIS_QUEUE_URL", 'services.shop.needs, "queue"'),
    (queue(worker=SHOP + 'needs = ["queue"]\n' + SCALING.replace("mailer", "shop")), "services.shop.queue",
     "CPU and memory"),
    (queue(worker=WORKER + SCALING), "services.mailer.queue", 'needs = ["queue"]'),
    (queue(worker=QUEUED.replace('["bull:mail:wait"]', "[]")), "services.mailer.queue.keys", "1 to 8 items"),
    (queue(worker=QUEUED.replace("bull:mail:wait", "bull mail")), "services.mailer.queue.keys", "bull:mail:wait"),
    (queue(worker=QUEUED.replace("= 100", "= 0")), "services.mailer.queue.jobs_per_task", "from 1 to"),
    (queue(worker=QUEUED.replace("= 100", "= 100_000").replace("= 9", "= 11")), "services.mailer.queue.jobs_per_task",
     "at most 90909"),
    (queue(worker=QUEUED + "stuck_minutes = 1\n"), "services.mailer.queue.stuck_minutes", "from 5 to"),
    (queue(worker=QUEUED.replace("min_tasks = 1", "min_tasks = 0")), "services.mailer.min_tasks", "from 1 to"),
    # others that name a service
    (('service = "api"\npath = "/api/auth/"', 'service = "web"\npath = "/api/auth/"'),
     "cloudflare.rate_limits.sign-in.service", "a service with a host: api, frontend"),
    (("[posthog]", "[posthog]\nservice = 1"), "posthog.service", "a key of posthog"),
]  # fmt: skip


def added(directory: Path, what: str | tuple[str, str]) -> Path:
    file = directory / "production.toml"
    old, new = what if isinstance(what, tuple) else ("[sentry]\n", f"{what}\n[sentry]\n")
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return directory


@pytest.mark.parametrize(("what", "key", "words"), REFUSED, ids=[f"{at}-{each[1]}" for at, each in enumerate(REFUSED)])
def test_a_malformed_table_is_refused(what: str | tuple[str, str], key: str, words: str, environments: Path) -> None:
    with pytest.raises(InvalidEnvironments) as invalid:
        load(["production"], directory=added(environments, what))
    messages = [str(each) for each in invalid.value.problems]
    about = [each for each in messages if re.match(rf"\S+/production\.toml:\d+: {re.escape(key)}( =|\n)", each)]
    assert any(words in each for each in about), messages
    assert "hunter2" not in "".join(messages)


def test_there_are_sixty_malformed_tables() -> None:
    assert len([key for _, key, _ in REFUSED if key.startswith("services")]) >= 60


@pytest.mark.parametrize(("table", "of"), [("services", Service), ("jobs", Job)])
def test_each_key_is_wrong_in_one_of_them(table: str, of: type[Section]) -> None:
    seen = {key.split(".", 2)[2] for _, key, _ in REFUSED if key.count(".") >= 2 and key.startswith(f"{table}.")}
    keys = [str(line) for line in _keys(of)]
    assert len(keys) > 5
    assert [key for key in keys if not any(each == key or each.startswith(f"{key}.") for each in seen)] == []


def _keys(of: type[Section], before: str = "") -> Iterator[str]:
    for name, info in of.model_fields.items():
        tables = [each for each in (info.annotation, *get_args(info.annotation)) if _is_table(each)]
        yield from _keys(tables[0], f"{before}{name}.") if tables else [f"{before}{name}"]


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def test_a_queue_has_an_instance_of_its_own_beside_the_cache(environments: Path) -> None:
    worker = WORKER + 'needs = ["queue"]\n'
    found = load(["production"], directory=added(environments, queue(worker=worker)))["production"]
    assert (found.redis.serves, found.redis.queue) == ("main", "jobs")
    assert (found.redis.instances["main"].eviction, found.redis.instances["jobs"].eviction) == (True, False)
    assert variables.provided(found, "mailer")["REDIS_QUEUE_URL"] == 'services.mailer.needs, "queue"'
    assert "REDIS_URL" not in variables.provided(found, "mailer")


@pytest.mark.parametrize(("what", "lines"), [(WORKER, 6), (JOB, 4)])
def test_a_worker_and_a_job_take_few_lines(what: str, lines: int, environments: Path) -> None:
    assert len(what.splitlines()) <= lines
    assert set(load(["production"], directory=added(environments, what))) == {"production"}


def test_a_service_comes_before_those_that_run_its_image_wherever_they_stand_in_the_file(environments: Path) -> None:
    first = ("[services.api]\n", f"{WORKER}\n[services.api]\n")
    found = load(["production"], directory=added(environments, first))["production"]
    assert next(iter(found.services)) == "mailer"
    assert list(services.same_image(found, "api")) == ["api", "mailer"]


def test_a_third_service_is_configuration(environments: Path) -> None:
    found = load(["production"], directory=added(environments, SHOP))["production"]
    assert services.hosts(found) == {
        "api": "api.daadaar.com", "frontend": "daadaar.com", "shop": "shop.daadaar.com",
    }  # fmt: skip
    assert list(services.released(found)) == ["api", "frontend", "shop"]


def test_variables_resolve_to_the_environments_or_the_previews_hosts() -> None:
    found = load(["dev"])["dev"]
    assert variables.resolved(found, "dev", "api") == {"SITE_URL": "https://dev.daadaar.com"}
    assert variables.resolved(found, "dev", "api", slot=1) == {"SITE_URL": f"https://{hosts(found, 1)['frontend']}"}
    assert variables.replaced("$${media.url}", {}) == "${media.url}"
    assert variables.replaced("a {b} $c", {}) == "a {b} $c"


def test_a_worker_has_the_variables_of_the_service_whose_image_it_runs_and_its_own(environments: Path) -> None:
    own = WORKER + "[services.mailer.variables]\nROLE = 'mailer'\n[services.mailer.secrets]\nKEY = 'daadaar/mail:key'\n"
    found = load(["production"], directory=added(environments, own))["production"]
    assert variables.resolved(found, "production", "mailer") == {"SITE_URL": "https://daadaar.com", "ROLE": "mailer"}
    assert variables.secrets(found, "mailer") == {"KEY": ("daadaar/mail", "key")}
    assert "ROLE" not in variables.resolved(found, "production", "api")


EXTERNAL = """[redis]
serves = "main"
queue = "jobs"

[redis.instances.main.external]
url_secret = "daadaar/cache-url"
ports = [6379]

[redis.instances.jobs]
eviction = false

[redis.instances.jobs.external]
url_secret = "daadaar/queue-url"
ports = [6379]

"""


def test_an_external_redis_url_is_a_secret_of_the_services_that_need_it(environments: Path) -> None:
    """A queue's as well as the cache's; a preview's jobs are in the cache (stacks/settings.py)."""
    file = environments / "production.toml"
    text = re.sub(r"(?ms)^\[redis[.\]].*?(?=^\[(?!redis))", "", file.read_text())
    file.write_text(text.replace("[sentry]\n", f'{EXTERNAL}{WORKER}needs = ["queue"]\n[sentry]\n', 1))
    found = load(["production"], directory=environments)["production"]
    assert variables.named_secrets(found, "mailer") == ["daadaar/queue-url"]
    assert variables.named_secrets(found, "mailer", in_preview=True) == ["daadaar/cache-url"]
    assert variables.named_secrets(found, "api") == ["daadaar/cache-url"]
    assert variables.named_secrets(found, "frontend") == []
