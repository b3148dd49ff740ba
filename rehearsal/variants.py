"""Variants of an environment: one change, as an operator would make it in the file."""

import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

from config.positions import line_of_keys

WAYS_OF_REDIS = {
    "elasticache": 'elasticache]\nnode = "cache.t4g.small"\nreplicas = 1\n',
    "cluster": 'elasticache]\nnode = "cache.m7g.large"\nreplicas = 1\nshards = 3\n',
    "upstash": 'upstash]\ncredentials_secret = "$product/upstash"\nregion = "$region"\nread_regions = ["us-west-2"]\n',
    "external": 'external]\nurl_secret = "$product/redis-url"\nports = [6380, 26379]\n',
}


def _edited(environments: Path, name: str, change: Callable[[str], str], *, into: Path) -> Path:
    """A copy of the folder in which the text of the environment's file is changed."""
    shutil.copytree(environments, into)
    file = into / f"{name}.toml"
    file.write_text(change(file.read_text()))
    return into


def with_redis(environments: Path, name: str, instances: dict[str, str], *, serves: str, into: Path) -> Path:
    """A copy of the folder in which the environment has these instances, each in one of `WAYS_OF_REDIS`."""

    def change(text: str) -> str:
        settings = tomllib.loads(text)
        own = {"product": settings["product"], "region": settings["aws"]["region"]}
        kept = re.sub(r"(?ms)^\[redis[.\]].*?(?=^\[(?!redis))", "", text)
        tables = [
            f"[redis.instances.{instance}.{Template(WAYS_OF_REDIS[way]).substitute(own)}"
            for instance, way in instances.items()
        ]
        return kept + f'\n[redis]\nserves = "{serves}"\n\n' + "\n".join(tables)

    return _edited(environments, name, change, into=into)


WAYS_TO_HOST = ("ecs", "amplify", "none")
_ON_AMPLIFY = """[services.$site]
host = "$host"
site = true
needs = $needs

[services.$site.amplify]
repository = "$repository"
branch = "main"
access_token_secret = "$product/github-token"

"""


def with_sites_on_amplify(environments: Path, name: str, *, into: Path) -> Path:
    """A copy of the folder in which Amplify hosts the environment's sites; they keep names, variables and Sentry."""
    return _edited(environments, name, _sites_on_amplify, into=into)


def _sites_on_amplify(text: str) -> str:
    settings, tables = tomllib.loads(text), _tables(text)
    for site, own in _sites(settings).items():
        if "amplify" in own:
            continue
        table = Template(_ON_AMPLIFY).substitute(
            site=site,
            host=own["host"],
            needs='["media"]' if "media" in own.get("needs", []) else "[]",
            repository=re.sub(r"@\d+", "", own["repository"]),
            product=settings["product"],
        )
        kept = (f"[services.{site}.sentry]", f"[services.{site}.variables]")
        tables = [
            table if each.startswith(f"[services.{site}]") else each
            for each in tables
            if not each.startswith(f"[services.{site}.") or each.startswith(kept)
        ]
    return "".join(tables)


def without_sites(environments: Path, name: str, *, into: Path) -> Path:
    """A copy of the folder in which the environment has no site, nor a reference to one."""

    def change(text: str) -> str:
        sites = "|".join(_sites(tomllib.loads(text)))
        gone = re.compile(rf"\[(services\.({sites})[.\]]|posthog\])")
        names_one = re.compile(rf'^(redirects = .*"({sites})"|.*\$\{{services\.({sites})\.).*$\n', re.MULTILINE)
        return "".join(names_one.sub("", each) for each in _tables(text) if not gone.match(each))

    return _edited(environments, name, change, into=into)


def _tables(text: str) -> list[str]:
    """The text of each table with its header; the first item is the text above all tables."""
    return re.split(r"(?m)^(?=\[)", text)


def _sites(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: own for name, own in settings["services"].items() if own.get("site")}


QUEUE = """
[redis.instances.jobs]
eviction = false

[redis.instances.jobs.elasticache]
node = "cache.t4g.small"
replicas = 0

[services.mailer]
runs = "api"
command = ["node", "worker.mjs"]
needs = ["queue"]
max_tasks = 4

[services.mailer.queue]
keys = ["bull:mail:wait", "bull:mail:prioritized"]
jobs_per_task = 100
"""


def with_queue(environments: Path, name: str, *, into: Path) -> Path:
    """A copy of the folder in which the environment has a queue with a worker.

    Its API has sticky sessions, and its tasks are replaced when they lose a dependency.
    """

    def change(text: str) -> str:
        # TOML wants a table's keys before its subtables. The API also needs the queue.
        text = re.sub(r"(?m)^serves = .*$", r'\g<0>\nqueue = "jobs"', text, count=1)
        needs = 'needs = ["database", "redis", "queue", '
        text = text.replace('needs = ["database", "redis", ', f"sticky_minutes = 60\n{needs}", 1)
        return re.sub(r'(?m)^(expect = .*"checks.redis".*)$', r"\1\nrestart_minutes = 5", text, count=1) + QUEUE

    return _edited(environments, name, change, into=into)


def with_secrets(environments: Path, name: str, secrets: dict[str, dict[str, str]], *, into: Path) -> Path:
    """A copy of the folder in which services read secrets: by service, the secret of each variable."""
    tables = [
        f"\n[services.{service}.secrets]\n" + "".join(f'{variable} = "{secret}"\n' for variable, secret in own.items())
        for service, own in secrets.items()
    ]
    return _edited(environments, name, lambda text: text + "".join(tables), into=into)


def with_bake_minutes(environments: Path, name: str, service: str, minutes: int, *, into: Path) -> Path:
    """A copy of the folder in which the environment's service bakes for that time."""

    def change(text: str) -> str:
        lines = text.splitlines(keepends=True)
        at, table = line_of_keys(text), f"services.{service}"
        if (line := at.get(f"{table}.bake_minutes")) is not None:
            lines[line - 1] = re.sub(r"bake_minutes\s*=\s*\d+", f"bake_minutes = {minutes}", lines[line - 1])
        else:
            lines.insert(at[table], f"bake_minutes = {minutes}\n")
        return "".join(lines)

    return _edited(environments, name, change, into=into)


def with_branch(environments: Path, name: str, site: str, branch: str, *, into: Path) -> Path:
    """A copy of the folder in which Amplify builds and serves another branch of the environment's site."""

    def change(text: str) -> str:
        lines = text.splitlines(keepends=True)
        lines[line_of_keys(text)[f"services.{site}.amplify.branch"] - 1] = f'branch = "{branch}"\n'
        return "".join(lines)

    return _edited(environments, name, change, into=into)


def forked_today(environments: Path, name: str, *, into: Path) -> Path:
    """A copy of the folder in which GitHub's tokens name the environment's repositories with ids.

    As those of every repository that was created, renamed or transferred since 2026-07-15 (GitHub's changelog of
    2026-04-23).
    """

    def change(text: str) -> str:
        lines, at = text.splitlines(keepends=True), line_of_keys(text)
        keys = [key for key in at if re.fullmatch(r"delivery\.repository|services\.[^.]+\.repository", key)]
        for number, key in enumerate(keys, start=1):
            line = at[key] - 1
            lines[line] = re.sub(r'"([^"/]+)/([^"/]+)"', rf'"\1@70001/\2@900000{number}"', lines[line])
        return "".join(lines)

    return _edited(environments, name, change, into=into)
