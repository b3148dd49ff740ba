"""`infra maintenance`: 503 for visitors, the service for our own checks, and muted alarms."""

import time
from datetime import UTC, datetime
from typing import Any, cast

import boto3
import typer

from config import services
from infra_runtime.cloudflare.api import Api
from infra_runtime.contract.check_targets import PASS_HEADER
from infra_runtime.contract.names import parameters
from infra_runtime.contract.secret_values import Secrets
from infra_runtime.state_store import SsmStateStore
from ops import functions
from ops.console import Console
from ops.edge.zone import EdgeOf
from ops.ids import physical_id
from ops.maintenance import commands
from ops.maintenance.state import KEY
from rehearsal.account import TOKEN, Account
from rehearsal.checks.assertions import Failed, require
from rehearsal.visitor import SimulatedVisitor
from simulators.cloudflare.foreign import foreign_objects

_TIMEOUT_SECONDS = 120.0


def answers_503_and_mutes(account: Account) -> str:
    edge, visitor = _edge(account), SimulatedVisitor(account)
    hosts = services.hosts(account.environment).values()
    main = f"https://{account.environment.services[account.main].host}/"
    others = foreign_objects(account.cloudflare.world, owner=account.name)
    before = visitor.get(main).status_code
    until = commands.end("30m", now=datetime.now(UTC))
    console = Console(quiet=True)
    commands.on(edge, until, "a rehearsal", console)
    try:
        for host in hosts:
            answer = visitor.get(f"https://{host}/")
            wait = int(answer.headers.get("retry-after", 0))
            require((answer.status_code, 0 < wait <= 31 * 60) == (503, True), f"{host}: {answer.status_code}, {wait} s")
        found = visitor.ask("GET", main, headers={PASS_HEADER: _check_pass(account)}).status_code
        require(found == before, f"our own checks get HTTP {found}, and {before} without maintenance")
        _is_as_switched_on(edge)
        alarms = _muted(account, edge)
        drift = _drift(account)
        require(drift == (0, 0), f"drifted and missing while it is on: {drift}")
    finally:
        commands.off(edge, console)
    require(visitor.get(main).status_code == before, "visitors do not reach the service again")
    require(edge.store.get(KEY) is None, "its state is still stored")
    require(foreign_objects(account.cloudflare.world, owner=account.name) == others, "objects of others were changed")
    return f"503 with Retry-After from {len(hosts)} hosts, our checks pass; {alarms} alarms are muted for the same time"


def _edge(account: Account) -> EdgeOf:
    secrets = Secrets(account.client("secretsmanager"))
    api = Api(token=TOKEN, deadline=time.time() + _TIMEOUT_SECONDS, base_url=account.cloudflare_url)
    store = SsmStateStore(account.client("ssm"), parameters(account.environment.product, account.name, "cloudflare"))
    return EdgeOf(account.name, account.environment, cast("boto3.Session", account), api, secrets, store)


def _check_pass(account: Account) -> str:
    secret = physical_id(account.name, account.environment, account, "secret/CheckPass")
    found: str = account.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    return found


def _is_as_switched_on(edge: EdgeOf) -> None:
    try:
        commands.show(edge, Console(quiet=True), as_json=False)
    except typer.Exit:
        raise Failed("`infra maintenance show` finds a fault") from None


def _muted(account: Account, edge: EdgeOf) -> int:
    cloudwatch, names = account.client("cloudwatch"), set[str]()
    for rule in edge.store.get(KEY)["mute_rules"]:
        found: dict[str, Any] = cloudwatch.get_alarm_mute_rule(AlarmMuteRuleName=rule)
        require(found["Status"] in ("SCHEDULED", "ACTIVE"), f"{rule} is {found['Status']}")
        names |= set(found["MuteTargets"]["AlarmNames"])
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    every = [each for page in pages for kind in ("MetricAlarms", "CompositeAlarms") for each in page[kind]]
    ours = {each["AlarmName"] for each in every if "docs/runbooks/" in each.get("AlarmDescription", "")}
    require(names == ours, f"not muted: {sorted(ours - names)}")
    return len(names)


def _drift(account: Account) -> tuple[int, int]:
    stack = account.stack_name("Edge")
    function = functions.find(account, stack, "edge_drift", {}, what="check for drift")
    numbers = functions.ask(account, function, {}, what="check for drift")
    return numbers["DriftedRules"], numbers["MissingRules"]
