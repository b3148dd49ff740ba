"""Alarms, and the numbers that they and the dashboard are made of."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from infra_runtime.cloudflare.analytics import LAG, WINDOW, closed
from infra_runtime.metrics import EDGE, Database, Traffic
from rehearsal.account import Account
from rehearsal.cloudflare.analytics import Request
from rehearsal.promises.found import require

_FIREWALL = "http_request_firewall_custom"


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
    rules = " ".join(each["AlarmRule"] for each in composites)
    for alarm in [*plain, *composites]:
        is_part = f':{alarm["AlarmName"]}")' in rules
        for kind in ("AlarmActions", "OKActions"):
            told = alarm[kind] and set(alarm[kind]) <= topics
            require(told or (is_part and not alarm[kind]), f"{alarm['AlarmName']}: {kind} {alarm[kind]}")
        require("docs/runbooks/" in alarm["AlarmDescription"], f"{alarm['AlarmName']} names no runbook")
    used = {action for alarm in plain for action in alarm["AlarmActions"]}
    return f"{len(plain)} alarms and {len(composites)} composites, over {len(used)} severities"


def subscribers(account: Account) -> str:
    sns, counts = account.client("sns"), []
    for topic in account.resources("Platform", "AWS::SNS::Topic"):
        require(
            sns.get_topic_attributes(TopicArn=topic)["Attributes"].get("KmsMasterKeyId"), f"{topic} is not encrypted"
        )
        counts.append(len(sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]))
    alarms_ = account.environment.alarms
    routes = (alarms_.critical, alarms_.warning, alarms_.info)
    wanted = [len(route.email) + (route.webhook_secret is not None) for route in routes]
    require(sorted(counts) == sorted(wanted), f"{counts}")
    return f"3 topics, encrypted, {sum(counts)} subscriptions"


def numbers_of_the_edge(account: Account) -> str:
    """Traffic of the newest closed window, carried into CloudWatch by the deployed function, twice."""
    host = account.environment.domains.media
    start = closed(datetime.now(UTC)) - WINDOW
    account.zone.traffic.requests += [
        Request(start + timedelta(seconds=second), host, "hit" if second % 4 else "miss", 1000)
        for second in range(0, 280, 7)
    ]
    for _ in range(2):
        _run(account, "edge_traffic")
    found = account.client("cloudwatch").get_metric_statistics(
        Namespace=EDGE,
        MetricName=Traffic.REQUESTS.value,
        Dimensions=[{"Name": "Environment", "Value": account.name}, {"Name": "Host", "Value": host}],
        StartTime=start,
        EndTime=start + WINDOW + LAG,
        Period=int(WINDOW.total_seconds()),
        Statistics=["Sum"],
    )["Datapoints"]
    counted = sum(each["Sum"] for each in found)
    require(counted == 40, f"{counted:g} requests arrived, 40 were there")
    return f"{counted:g} requests of five minutes, after two runs of the function"


def checks(account: Account) -> str:
    _run(account, "checks")
    found = account.client("s3").get_object(Bucket=account.environment.media.bucket, Key="infra/check.txt")
    require(found["Body"].read(), "the object that is asked for is empty")
    (secret,) = [each for each in account.resources("Platform", "AWS::SecretsManager::Secret") if "CheckPass" in each]
    value = account.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    rules = {each["ref"]: each for each in account.zone.rulesets[_FIREWALL]["rules"]}
    rule = rules.get(f"{account.name}.own-checks")
    require(rule is not None and f'eq "{value}"' in rule["expression"], "no rule knows what the checks show")
    return "the media object is there, and the rule knows the secret that the function shows"


def backups(account: Account) -> str:
    numbers = _run(account, "database.backups")
    require(Database.RESTORE_POINT_AGE.value in numbers, f"only {numbers}")
    return f"the newest restorable point is {numbers[Database.RESTORE_POINT_AGE.value]:.0f} minutes old"


def _run(account: Account, module: str) -> Any:
    """What the environment's function answers. Raises `Broken` when it fails."""
    functions = account.client("lambda")
    for name in account.resources("Observability", "AWS::Lambda::Function"):
        handler = functions.get_function_configuration(FunctionName=name)["Handler"]
        if handler == f"infra_runtime.{module}.handler":
            answer = functions.invoke(FunctionName=name)
            text = answer["Payload"].read().decode()
            require("FunctionError" not in answer, text)
            return json.loads(text)
    raise LookupError(module)
