"""State for the sandbox's page: AWS is read through its API, other simulators directly."""

import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import redis

from config import services
from infra_runtime.contract.redis_url import parse
from ops.releases.status import service_status
from rehearsal.account import Account
from rehearsal.checks.redis import url_of_the_tasks
from rehearsal.checks.releases import place_of
from rehearsal.sandbox.edge import SandboxEdge
from rehearsal.sandbox.faults import Faults, master
from simulators.aws.cloudwatch.metric_math import Series, evaluate
from simulators.aws.deliveries import DeliveredMessage, read

_EVERY_SECONDS = 3.0
# State is read only while a browser shows the page.
_WATCHED_SECONDS = 20.0
_ANSWER_SECONDS = 1.5
_MINUTES = 60
_LINES = 60
_LOG_SECONDS = 60
_RUNBOOK = re.compile(r"docs/runbooks/([\w-]+)\.md")


@dataclass
class State:
    """`sections` by name; a section that cannot be read is {"error": why}."""

    account: Account
    edge: SandboxEdge
    faults: Faults
    addresses: dict[str, str]
    """URL by service."""
    sections: dict[str, Any] = field(default_factory=dict)
    _asked: float = 0.0
    _wake: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        for those in (("alarms", "mailbox", "edge"), ("services", "ledger", "logs"), ("database", "redis", "metrics")):
            threading.Thread(target=self._follow, args=(those,), daemon=True).start()

    def now(self) -> dict[str, Any]:
        if time.monotonic() - self._asked > _WATCHED_SECONDS:
            self.sections.clear()  # They are as old as the last read.
        self._asked = time.monotonic()
        self._wake.set()
        return {
            "environment": self.account.name,
            "account": self.account.environment.aws.account,
            "at": time.time(),
            "broken": list(self.faults.broken),
            "addresses": self.addresses,
            **self.sections,
        }

    def _follow(self, names: tuple[str, ...]) -> None:
        while True:
            for name in names:
                self.refresh(name)
            time.sleep(_EVERY_SECONDS)
            if time.monotonic() - self._asked > _WATCHED_SECONDS:
                self._wake.clear()
                self._wake.wait()

    def refresh(self, name: str) -> None:
        read_section: Callable[[], Any] = getattr(self, f"_{name}")
        try:
            self.sections[name] = read_section()
        except Exception as error:  # The page must also show what is broken on purpose.
            self.sections[name] = {"error": f"{type(error).__name__}: {error}".strip()}

    def _alarms(self) -> list[dict[str, Any]]:
        pages = (
            self.account.client("cloudwatch")
            .get_paginator("describe_alarms")
            .paginate(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        )
        found = [
            {
                "name": each["AlarmName"],
                "state": each["StateValue"],
                "since": each["StateUpdatedTimestamp"].timestamp(),
                "reason": each.get("StateReason", ""),
                "severity": each["AlarmDescription"].partition(":")[0].lower(),
                "means": _means(each["AlarmDescription"]),
                "runbook": runbook[1] if (runbook := _RUNBOOK.search(each["AlarmDescription"])) else None,
            }
            for page in pages
            for kind in ("CompositeAlarms", "MetricAlarms")
            for each in page[kind]
        ]
        order = {"ALARM": 0, "INSUFFICIENT_DATA": 1, "OK": 2}
        return sorted(found, key=lambda each: (order[each["state"]], each["severity"], -each["since"], each["name"]))

    def _mailbox(self) -> list[dict[str, Any]]:
        """Messages, the newest first."""
        sent = [
            {
                "at": each.at,
                "to": each.to,
                "subject": _headline(each),
                "text": f"{each.subject}\n{_readable(each.text)}",
            }
            for each in read(self.account.emulator.deliveries)
            if each.dropped is None
        ]
        pages = [
            {"at": incident.at, "to": "PagerDuty", "text": key,
             "subject": f"{'resolved' if incident.is_resolved else 'open'}: {incident.summary}"}
            for key, incidents in list(self.account.pagerduty.incidents.items())
            for incident in incidents
        ]  # fmt: skip
        return sorted([*sent, *pages], key=lambda each: -float(str(each["at"])))[:_LINES]

    def _edge(self) -> dict[str, Any]:
        zone = self.account.zone
        rules = [
            {
                "phase": phase,
                "ref": rule["ref"],
                "what": rule.get("description") or "",
                "action": rule["action"],
                "expression": rule["expression"],
                "ours": str(rule["ref"]).startswith(f"{self.account.name}."),
            }
            for phase, ruleset in sorted(zone.rulesets.items())
            for rule in ruleset["rules"]
        ]
        records = [
            {key: each[key] for key in ("type", "name", "content", "proxied") if key in each}
            for each in zone.records.values()
        ]
        return {"zone": zone.name, "plan": zone.plan_name, "rules": rules, "records": records, **self._requests()}

    def _requests(self) -> dict[str, Any]:
        now, recent = time.time(), list(self.edge.recent)
        last = [each for each in recent if now - each["at"] < 10]
        failed = [each for each in recent if each["status"] >= 500 or each["status"] in (403, 429)]
        return {
            "per_second": round(len(last) / 10, 1),
            "failed_percent": round(100 * sum(each in failed for each in last) / len(last)) if last else 0,
            "failures": failed[:-9:-1],
        }

    def _services(self) -> list[dict[str, Any]]:
        found = []
        for name in services.released(self.account.environment):
            status = asdict(service_status(place_of(self.account, name)))
            found.append({"name": name, **status})
        return found

    def _ledger(self) -> list[dict[str, Any]]:
        found = [
            asdict(each)
            for name in services.released(self.account.environment)
            for each in place_of(self.account, name).ledger.releases(name)
        ]
        kept = ("id", "service", "image", "kind", "outcome", "began", "who", "reason", "note")
        newest = sorted(found, key=lambda each: str(each["began"]), reverse=True)
        return [{key: each.get(key) for key in kept} for each in newest[:20]]

    def _logs(self) -> list[dict[str, Any]]:
        logs, found = self.account.client("logs"), []
        since = int((time.time() - _LOG_SECONDS) * 1000)
        for name, service in self.account.services():
            group = self.account.container(service)["logConfiguration"]["options"]["awslogs-group"]
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since):
                found += [
                    {"at": each["timestamp"] / 1000, "service": name, "line": each["message"][:300]}
                    for each in page["events"]
                ]
        return sorted(found, key=lambda each: -each["at"])[:_LINES]

    def _database(self) -> dict[str, Any]:
        with master(self.account) as connection:
            connection.execute("set statement_timeout = 1500")
            row = connection.execute(
                "select current_setting('server_version'), current_database(),"
                " pg_size_pretty(pg_database_size(current_database())),"
                " (select count(*) from pg_stat_activity where datname = current_database()),"
                " (select xact_commit + xact_rollback from pg_stat_database where datname = current_database()),"
                " now() - pg_postmaster_start_time()"
            ).fetchone()
            assert row is not None
            version, name, size, connections, transactions, up = row
            where = f"{connection.info.host}:{connection.info.port}/{name}"
        return {
            "where": where,
            "version": f"PostgreSQL {version}",
            "size": size,
            "connections": connections,
            "transactions": transactions,
            "up": str(up).partition(".")[0],
        }

    def _redis(self) -> dict[str, Any]:
        target = parse(url_of_the_tasks(self.account))
        node = target.nodes[0]
        with redis.Redis(
            host=node.host,
            port=node.port,
            password=target.password,
            ssl=target.tls,
            ssl_cert_reqs="none",
            ssl_check_hostname=False,
            decode_responses=True,
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_ANSWER_SECONDS,
        ) as client:
            info: dict[str, Any] = client.info()
        return {
            "where": ", ".join(f"{each.host}:{each.port}" for each in target.nodes),
            "version": f"Redis {info['redis_version']}, {target.form}{', TLS' if target.tls else ''}",
            "memory": info["used_memory_human"],
            "clients": info["connected_clients"],
            "commands per second": info["instantaneous_ops_per_sec"],
            "keys": sum(each["keys"] for name, each in info.items() if name.startswith("db") and "keys" in each),
        }

    def _metrics(self) -> list[dict[str, Any]]:
        """The widgets of the deployed dashboard that have data, a value a minute for the last hour."""
        cloudwatch = self.account.client("cloudwatch")
        name = self.account.resource("Observability", "AWS::CloudWatch::Dashboard")
        body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
        widgets = [each["properties"] for each in body["widgets"] if each["type"] == "metric"]
        queries = list(_queries(widgets))
        values = _values(cloudwatch, [each for each in queries if "query" in each])
        found = []
        for number, widget in enumerate(widgets):
            own = [each for each in queries if each["widget"] == number]
            series = [
                {
                    "label": each["label"],
                    "values": [None if np.isnan(value) else round(float(value), 3) for value in line],
                }
                for each in own
                if not each["hidden"] and (line := _line(each, own, values)) is not None and not np.all(np.isnan(line))
            ]
            if series:
                found.append({"title": widget.get("title", ""), "series": series})
        return found


def _queries(widgets: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Metrics of the widgets (CloudWatch, "Dashboard body structure and syntax")."""
    for number, widget in enumerate(widgets):
        for place, metric in enumerate(widget.get("metrics", [])):
            options = metric[-1] if isinstance(metric[-1], dict) else {}
            base = {
                "widget": number,
                "key": f"w{number}m{place}",
                "id": options.get("id"),
                "label": options.get("label") or (metric[1] if len(metric) > 2 else ""),
                "hidden": options.get("visible") is False,
                "expression": options.get("expression"),
            }
            if "expression" in options:
                yield base
                continue
            namespace, name, *dimensions = [each for each in metric if not isinstance(each, dict)]
            pairs = zip(dimensions[::2], dimensions[1::2], strict=True)
            yield base | {
                "query": {
                    "Id": base["key"],
                    "MetricStat": {
                        "Metric": {
                            "Namespace": namespace,
                            "MetricName": name,
                            "Dimensions": [{"Name": key, "Value": value} for key, value in pairs],
                        },
                        "Period": 60,
                        "Stat": options.get("stat", widget.get("stat", "Average")),
                    },
                }
            }


def _values(cloudwatch: Any, queries: list[dict[str, Any]]) -> dict[str, Series]:
    end = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    begin = end - timedelta(minutes=_MINUTES)
    found: dict[str, Series] = defaultdict(lambda: np.full(_MINUTES, np.nan))
    for first in range(0, len(queries), 400):
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[each["query"] for each in queries[first : first + 400]], StartTime=begin, EndTime=end
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                for at, value in zip(result["Timestamps"], result["Values"], strict=True):
                    minute = int((at - begin).total_seconds() // 60)
                    if 0 <= minute < _MINUTES:
                        found[result["Id"]][minute] = value
    return found


def _line(query: Mapping[str, Any], own: list[dict[str, Any]], values: Mapping[str, Series]) -> Series | None:
    """The expression's value; None for metric math that is not implemented here."""
    if query["expression"] is None:
        return values[query["key"]]
    known = {each["id"]: values[each["key"]] for each in own if each["id"] and "query" in each}
    try:
        return evaluate(query["expression"], known) if known else None
    except (NotImplementedError, KeyError, SyntaxError):
        return None


def _headline(mail: DeliveredMessage) -> str:
    """An alarm's description, as its subject has only a generated name; the title of our own messages."""
    try:
        found = json.loads(mail.text)
        if "content" in found:
            return str(found["content"]["title"])
        return f"{found['NewStateValue']}: {_means(found['AlarmDescription'])}"
    except (ValueError, KeyError, TypeError):
        return mail.subject


def _means(description: str) -> str:
    """The description without severity, threshold and runbook."""
    return re.split(r" (?:Threshold|Runbook): ", description.partition(": ")[2])[0]


def _readable(text: str) -> str:
    """Messages of alarms are JSON of one line."""
    try:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    except ValueError:
        return text
