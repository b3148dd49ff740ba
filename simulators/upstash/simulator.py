"""The Developer API. Its shapes and refusals are those that the vendor's command line knows."""

import base64
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulators.http_server import Answer, Call

EMAIL, API_KEY = "infra@example.com", "what-stands-for-an-upstash-key-here"
# As the command line lists them (its types.js).
REGIONS = frozenset((
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "eu-central-1", "eu-west-1", "eu-west-2",
    "sa-east-1", "ap-south-1", "ap-northeast-1", "ap-southeast-1", "ap-southeast-2", "af-south-1",
    "us-central1", "us-east4", "europe-west1", "asia-northeast1",
))  # fmt: skip


def somebody_elses() -> dict[str, Any]:
    """A foreign database, which must survive the rehearsal."""
    return {
        "database_id": "d0-not-touch",
        "database_name": "somebody-elses",
        "password": "nobodys-business",
        "endpoint": "somebody-elses.upstash.example",
        "port": 6379,
        "state": "active",
        "tls": True,
        "region": "global",
        "primary_region": "us-east-1",
        "read_regions": [],
        "eviction": False,
    }


Start = Callable[[str, str], tuple[str, int]]
"""Called with name and password of a new database; returns host and port of its server."""


@dataclass
class UpstashSimulator:
    start: Start = lambda name, password: (f"{name}.upstash.example", 6379)
    stop: Callable[[str], None] = lambda name: None
    calls: list[Call] = field(default_factory=list)
    databases: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Databases by id. Those that exist from the start are foreign."""
    polls_until_active: int = 1
    statistics: dict[str, Any] = field(default_factory=dict)
    """Usage series that are not empty."""

    def answer(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> Answer:
        body = json.loads(content) if content else None
        self.calls.append(Call(method, path, body))
        expected = base64.b64encode(f"{EMAIL}:{API_KEY}".encode()).decode()
        if headers.get("Authorization") != f"Basic {expected}":
            return Answer(401, {"error": "Unauthorized"})
        routes: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
            ("GET", r"/v2/redis/databases", self._list),
            ("POST", r"/v2/redis/database", self._create),
            ("GET", r"/v2/redis/database/([^/?]+)", self._get),
            ("DELETE", r"/v2/redis/database/([^/?]+)", self._delete),
            ("GET", r"/v2/redis/stats/([^/?]+)", self._stats),
            ("POST", r"/v2/redis/update-regions/([^/?]+)", self._regions),
            ("POST", r"/v2/redis/(enable)-(tls)/([^/?]+)", self._switch),
            ("POST", r"/v2/redis/(enable|disable)-(eviction)/([^/?]+)", self._switch),
        )
        for wanted, pattern, respond in routes:
            if method == wanted and (match := re.fullmatch(pattern, path)):
                return respond(*match.groups(), *([body] if body is not None else []))
        return Answer(404, {"error": "Not Found"})

    def _list(self) -> Answer:
        return Answer(200, [_without_password(each) for each in self.databases.values()])

    def _create(self, body: Mapping[str, Any]) -> Answer:
        allowed = {"database_name", "region", "primary_region", "read_regions"}
        if set(body) - allowed or body.get("region") != "global":
            return Answer(400, {"error": "invalid request"})
        regions = [body["primary_region"], *(body.get("read_regions") or [])]
        if unknown := [each for each in regions if each not in REGIONS]:
            return Answer(400, {"error": f"invalid region: {unknown[0]}"})
        identity, password = secrets.token_hex(16), secrets.token_urlsafe(24) + "/+"
        host, port = self.start(body["database_name"], password)
        self.databases[identity] = {
            "database_id": identity,
            "database_name": body["database_name"],
            "password": password,
            "endpoint": host,
            "port": port,
            "creation_time": int(time.time()),
            "state": "creating",
            "tls": True,
            "type": "payg",
            "region": "global",
            "primary_region": body["primary_region"],
            "read_regions": list(body.get("read_regions") or []),
            "eviction": False,
            "db_disk_threshold": 100 * 2**30,
            "db_daily_bandwidth_limit": -1,
            "_polls": self.polls_until_active,
        }
        return Answer(200, _public(self.databases[identity]))

    def _get(self, identity: str) -> Answer:
        found = self.databases.get(identity)
        if found is None:
            return Answer(404, "database not found")
        if found.get("_polls", 0) > 0:
            found["_polls"] -= 1
        else:
            found["state"] = "active"
        return Answer(200, _public(found))

    def _delete(self, identity: str) -> Answer:
        found = self.databases.pop(identity, None)
        if found is None:
            return Answer(404, "database not found")
        self.stop(found["database_name"])
        return Answer(200, "OK")

    def _stats(self, identity: str) -> Answer:
        if identity not in self.databases:
            return Answer(404, "database not found")
        points = [{"x": "2026-11-22 23:00:00", "y": 0}, {"x": "2026-11-23 00:00:00", "y": None}]
        return Answer(200, dict.fromkeys(("diskusage", "bandwidths", "dailyrequests"), points) | self.statistics)

    def _regions(self, identity: str, body: Mapping[str, Any]) -> Answer:
        found = self.databases.get(identity)
        if found is None:
            return Answer(404, "database not found")
        regions = body["read_regions"]
        if found["primary_region"] in regions or not set(regions) <= REGIONS:
            return Answer(400, {"error": "invalid region"})
        found["read_regions"] = list(regions)
        return Answer(200, "OK")

    def _switch(self, how: str, what: str, identity: str) -> Answer:
        found = self.databases.get(identity)
        if found is None:
            return Answer(404, "database not found")
        found[what] = how == "enable"
        return Answer(200, "OK")


def _public(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if not key.startswith("_")}


def _without_password(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in _public(found).items() if key != "password"}
