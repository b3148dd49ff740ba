"""Faults of the sandbox: each breaks a real process or object, and returns how to undo it."""

import json
import re
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from infra_runtime.contract.cloudflare_phases import CUSTOM_WAF
from infra_runtime.contract.redis_url import parse
from ops.errors import OperatorError
from ops.sandbox import FAULTS
from rehearsal.account import Account
from rehearsal.checks.redis import url_of_the_tasks
from rehearsal.checks.releases import place_of, release
from rehearsal.push import push
from rehearsal.servers import Endpoint, listening, resume, suspend

Undo = Callable[[], None]
_SERVES = re.compile(r"(?m)^  '/': async \(\) => \{$")


class CannotBreak(Exception):
    """The message says why."""


@dataclass
class Faults:
    account: Account
    broken: dict[str, Undo] = field(default_factory=dict)
    """How to undo each fault, by its name, in the order in which they were caused."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cause(self, name: str) -> str:
        """Returns a sentence about what is broken. Raises `CannotBreak`, and `KeyError` for an unknown name."""
        cause: Callable[[Account], Undo] = _CAUSES[name]
        with self._lock:
            if name in self.broken:
                raise CannotBreak(f"{name} is broken already; repair it with ./infra sandbox repair")
            self.broken[name] = cause(self.account)
        return f"broken: {FAULTS[name]}"

    def repair(self) -> str:
        """Repairs every fault, the newest first. Returns a sentence that names them."""
        with self._lock:
            names = list(reversed(self.broken))
            for name in names:
                self.broken[name]()
                del self.broken[name]
        return f"repaired: {', '.join(names)}" if names else "nothing was broken"

    def repair_before_the_end(self) -> None:
        """Resumes suspended servers, which could not end otherwise."""
        with suppress(Exception):
            self.repair()


def _suspended(name: str, endpoints: Collection[Endpoint], what: str) -> Undo:
    found = listening(name, endpoints)
    if not found:
        raise CannotBreak(f"no process of {what} runs on this machine")
    suspend(found)
    return partial(resume, found)


def _redis(account: Account) -> Undo:
    nodes = parse(url_of_the_tasks(account)).nodes
    return _suspended("redis-server", [(node.host, node.port) for node in nodes], "Redis")


def _database(account: Account) -> Undo:
    endpoint = _instance(account)["Endpoint"]
    return _suspended("postgres", [(endpoint["Address"], endpoint["Port"])], "PostgreSQL")


def _origin(account: Account) -> Undo:
    address, _ = account.emulator.load_balancer()
    return _suspended("nginx", [(address, None)], "the load balancer")


def _instance(account: Account) -> dict[str, Any]:
    identity = account.resource("Data", "AWS::RDS::DBInstance")
    found: dict[str, Any] = account.client("rds").describe_db_instances(DBInstanceIdentifier=identity)["DBInstances"][0]
    return found


def _task(account: Account) -> Undo:
    service = account.service(account.main)
    image = str(account.container(service)["image"])
    folder = account.emulator.images / image.rpartition("sha256:")[2]
    if not folder.exists():
        raise CannotBreak(f"{account.main} runs {image}, an image that was never pushed")
    gone = folder.with_name(f"{folder.name}.gone")
    # The same file system, so open files of running tasks stay.
    folder.rename(gone)
    ecs = account.client("ecs")
    of = {"cluster": service["clusterArn"], "serviceName": service["serviceName"]}
    for page in ecs.get_paginator("list_tasks").paginate(**of):
        for arn in page["taskArns"]:
            ecs.stop_task(cluster=service["clusterArn"], task=arn, reason="infra sandbox break task")
    return lambda: None if folder.exists() else _moved(gone, folder)


def _moved(source: Path, target: Path) -> None:
    source.rename(target)


def _edge_rule(account: Account) -> Undo:
    rules: list[dict[str, Any]] = account.zone.rulesets.get(CUSTOM_WAF, {"rules": []})["rules"]
    ours = [each for each in rules if each["action"] == "block" and str(each["ref"]).startswith(f"{account.name}.")]
    if not ours:
        raise CannotBreak("the zone has no WAF rule of ours that blocks")
    rule, before = ours[0], str(ours[0]["expression"])
    rule["expression"] = "true"

    def undo() -> None:
        # `infra edge apply` may have repaired it already.
        if rule["expression"] == "true":
            rule["expression"] = before

    return undo


def _cloudflare_errors(account: Account) -> Undo:
    account.zone.answers_with = 502

    def undo() -> None:
        account.zone.answers_with = None

    return undo


def _throttled(service: str) -> Callable[[Account], Undo]:
    def cause(account: Account) -> Undo:
        (account.emulator.throttled / service).touch()
        return (account.emulator.throttled / service).unlink

    return cause


def _release(account: Account) -> Undo:
    """Releases a bad image in the background: it takes minutes until the release is rolled back."""

    def spoil(folder: Path) -> None:
        file = folder / "server.mjs"
        text, count = _SERVES.subn(
            "  '/': async () => {\n    throw new Error('a bug of this version')", file.read_text()
        )
        assert count == 1, "the product's first page is not where it was"
        file.write_text(text)

    image = push(account, account.main, f"bad-{len(list(account.emulator.images.iterdir()))}", fault=spoil)

    def begin() -> None:
        try:
            release(account, image)
        except OperatorError as error:
            account.cdk.workspace.joinpath("bad-release.log").write_text(str(error))

    threading.Thread(target=begin, daemon=True).start()

    def undo() -> None:
        place = place_of(account)
        if place.ledger.running(place.service) is not None:
            place.ask({"action": "rollback", "release": None, "accept_schema": False, "note": "infra sandbox repair"})

    return undo


def _rotation(account: Account) -> Undo:
    """Simulates a rotation that stopped between its steps: the server has the new password, the tasks the old one."""
    login, password = _login_of_the_tasks(account)

    def set_to(value: str) -> None:
        with master(account) as connection:
            connection.execute(f"alter role {login} password '{value}'")
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [login])

    set_to("somebody-has-changed-it")
    return lambda: set_to(password)


def _login_of_the_tasks(account: Account) -> tuple[str, str]:
    from urllib.parse import unquote, urlsplit

    secrets = {each["name"]: each["valueFrom"] for each in account.container(account.service(account.main))["secrets"]}
    identity = ":".join(secrets["DATABASE_URL"].split(":")[:7])
    value = account.client("secretsmanager").get_secret_value(SecretId=identity)["SecretString"]
    if value.startswith("{"):
        field_name = secrets["DATABASE_URL"].split(":")[7]
        value = json.loads(value)[field_name]
    parts = urlsplit(value)
    return str(parts.username), unquote(str(parts.password))


def master(account: Account) -> "psycopg.Connection[tuple[Any, ...]]":
    """Connects to the environment's database as the master user, over the network."""
    instance = _instance(account)
    secret = account.client("secretsmanager").get_secret_value(SecretId=instance["MasterUserSecret"]["SecretArn"])
    login = json.loads(secret["SecretString"])
    return psycopg.connect(
        host=instance["Endpoint"]["Address"],
        port=instance["Endpoint"]["Port"],
        user=login["username"],
        password=login["password"],
        dbname=instance["DBName"],
        sslmode="require",
        connect_timeout=2,
        autocommit=True,
    )


_CAUSES: dict[str, Callable[[Account], Undo]] = {
    "redis": _redis,
    "database": _database,
    "task": _task,
    "release": _release,
    "edge-rule": _edge_rule,
    "origin": _origin,
    "rotation": _rotation,
    "cloudflare-errors": _cloudflare_errors,
    "s3-throttled": _throttled("s3"),
    "secrets-throttled": _throttled("secretsmanager"),
}
assert _CAUSES.keys() == FAULTS.keys(), "ops.sandbox says what can be broken"
