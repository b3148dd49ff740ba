"""Checks of alarms, and of the metrics behind them and the dashboard."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from config.model import routes
from config.services import public_hosts
from infra_runtime.cloudflare.analytics import WINDOW, closed
from infra_runtime.contract.cloudflare_phases import CUSTOM_WAF
from infra_runtime.contract.metrics import EDGE, DatabaseMetric, TrafficMetric
from ops import functions
from rehearsal.account import Account
from rehearsal.checks.assertions import not_on_this_plan, require
from rehearsal.checks.edge import rules


def alarms(account: Account) -> str:
    topics = set(account.resources("Platform", "AWS::SNS::Topic"))
    pages = list(
        account.client("cloudwatch")
        .get_paginator("describe_alarms")
        .paginate(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    )
    plain = [each for page in pages for each in page["MetricAlarms"]]
    composites = [each for page in pages for each in page["CompositeAlarms"]]
    require(len(plain) >= 12, f"only {len(plain)} alarms")
    asked = " ".join(each["AlarmRule"] for each in composites)
    for alarm in [*plain, *composites]:
        is_part = f':{alarm["AlarmName"]}")' in asked
        for kind in ("AlarmActions", "OKActions"):
            text = alarm[kind] and set(alarm[kind]) <= topics
            require(text or (is_part and not alarm[kind]), f"{alarm['AlarmName']}: {kind} {alarm[kind]}")
        require("docs/runbooks/" in alarm["AlarmDescription"], f"{alarm['AlarmName']} names no runbook")
    used = {action for alarm in plain for action in alarm["AlarmActions"]}
    return f"{len(plain)} alarms and {len(composites)} composites, over {len(used)} severities"


def subscribers(account: Account) -> str:
    sns, counts = account.client("sns"), []
    for topic in account.resources("Platform", "AWS::SNS::Topic"):
        require(
            sns.get_topic_attributes(TopicArn=topic)["Attributes"].get("KmsMasterKeyId"), f"{topic} is not encrypted"
        )
        pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        counts.append(sum(len(page["Subscriptions"]) for page in pages))
    wanted = [
        len(route.email) + (route.webhook_secret is not None) for route in routes(account.environment.alarms).values()
    ]
    require(sorted(counts) == sorted(wanted), f"{counts}")
    return f"3 topics, encrypted, {sum(counts)} subscriptions"


def numbers_of_the_edge(account: Account) -> str:
    """The deployed function publishes each window once, though it runs on schedule and twice more here."""
    for _ in range(2):
        _run(account, "edge_traffic")
    host = account.environment.domains.media
    carried = _sums(account, TrafficMetric.WINDOWS)
    requests = _sums(account, TrafficMetric.REQUESTS, {"Name": "Host", "Value": host})
    # The schedule may publish the next window meanwhile.
    arrived = {start: requests.get(start) for start in carried}
    there = {
        start: sum(each.host == host and start <= each.at < start + WINDOW for each in account.zone.traffic.requests)
        for start in carried
    }
    require(there, "no window has been carried")
    require(set(carried.values()) == {1}, f"carried more than once: {carried}")
    require(arrived == there, f"requests that arrived: {arrived}; that were there: {there}")
    return f"{sum(there.values())} requests in {len(carried)} windows of five minutes, each once"


def _sums(account: Account, name: TrafficMetric, *dimensions: Mapping[str, str]) -> dict[datetime, float]:
    """Data points of the last hours in CloudWatch, by the start of each window."""
    found = account.client("cloudwatch").get_metric_statistics(
        Namespace=EDGE,
        MetricName=name.value,
        Dimensions=[{"Name": "Environment", "Value": account.name}, *dimensions],
        StartTime=closed(datetime.now(UTC)) - timedelta(hours=3),
        EndTime=datetime.now(UTC),
        Period=int(WINDOW.total_seconds()),
        Statistics=["Sum"],
    )["Datapoints"]
    return {each["Timestamp"]: each["Sum"] for each in found}


def checks(account: Account) -> str:
    _run(account, "checks")
    found = account.client("s3").get_object(Bucket=account.environment.media.bucket, Key="infra/check")
    require(found["Body"].read(), "the object that is asked for is empty")
    if not account.zone.plan.super_bot_fight_mode:
        not_on_this_plan("no rule can skip Bot Fight Mode: our own checks may be challenged; the media object is there")
    if not public_hosts(account.environment, sites=True):
        not_on_this_plan("the environment has no site, and programs are not challenged; the media object is there")
    (secret,) = [each for each in account.resources("Platform", "AWS::SecretsManager::Secret") if "CheckPass" in each]
    value = account.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    rule = rules(account, CUSTOM_WAF).get("own-checks")
    require(rule is not None and f'eq "{value}"' in rule["expression"], "no rule knows what the checks show")
    return "the media object is there, and the rule knows the secret that the function shows"


def backups(account: Account) -> str:
    numbers = _run(account, "database.backups")
    require(DatabaseMetric.RESTORE_POINT_AGE.value in numbers, f"only {numbers}")
    return f"the newest restorable point is {numbers[DatabaseMetric.RESTORE_POINT_AGE.value]:.0f} minutes old"


def _run(account: Account, module: str) -> Any:
    """Invokes the environment's function and returns its answer. Raises `OperatorError` if it fails."""
    function = functions.find(account, account.stack_name("Observability"), module, {}, what=module)
    return functions.ask(account, function, {}, what=module)
