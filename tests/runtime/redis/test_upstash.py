"""The provider of databases at Upstash, and the simulator: both against what the vendor's own command line does."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from infra_runtime.contract.redis_url import parse, require_deployable
from infra_runtime.contract.secret_values import Secrets
from infra_runtime.custom_resource import PartlyCreated, Request, serve
from infra_runtime.redis.upstash import provide
from infra_runtime.redis.upstash_api import UpstashApi, upstash_from
from infra_runtime.redis.upstash_usage import usage
from infra_runtime.vendor_api import BadCredentials, Clock, Pace, Refused, Unavailable
from rehearsal.state_store import InMemoryStateStore
from simulators.http_server import Answer, send, serving
from simulators.upstash.simulator import API_KEY, EMAIL, UpstashSimulator, somebody_elses

ROOT = Path(__file__).resolve().parents[3]
NAME = "daadaar-test-main"
Spoil = Callable[[BaseHTTPRequestHandler, Answer], bool]


@dataclass
class FakeManager:
    """Secrets Manager, for the one secret that the provider writes."""

    value: str | None = None
    broken: bool = False
    writes: int = 0

    def put_secret_value(self, **asked: str) -> None:
        if self.broken:
            raise ConnectionError("Secrets Manager")
        self.value, self.writes = asked["SecretString"], self.writes + 1


@dataclass
class World:
    """A world whose time advances only by waiting."""

    simulator: UpstashSimulator
    url: str
    manager: FakeManager = field(default_factory=FakeManager)
    store: InMemoryStateStore = field(default_factory=InMemoryStateStore)
    seconds: float = 1_800_000_000.0
    spoil: Spoil | None = None
    """Called with each answer before it is sent; True if it has broken the answer."""

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds

    @property
    def api(self) -> UpstashApi:
        clock = Clock(lambda: self.seconds, self._sleep)
        return UpstashApi(
            email=EMAIL,
            api_key=API_KEY,
            base_url=self.url,
            deadline=self.seconds + 500,
            clock=clock,
            pace=Pace(clock, rate=2, burst=20),
        )

    @property
    def secrets(self) -> Secrets:
        return Secrets(self.manager, {API_KEY})

    def asks(self, kind: Any, physical_id: str | None = None, **declared: Any) -> str:
        document = {"name": NAME, "region": "eu-central-1", "read_regions": [], "eviction": True, **declared}
        request = Request(kind, {"Document": json.dumps(document), "UrlSecret": "url"}, physical_id)
        return provide(request, api=self.api, secrets=self.secrets, store=self.store).physical_id

    @property
    def ours(self) -> list[dict[str, Any]]:
        return [each for each in self.simulator.databases.values() if each["database_name"] == NAME]

    def writes(self) -> list[tuple[str, str]]:
        return [(call.method, call.path) for call in self.simulator.calls if call.method != "GET"]


@pytest.fixture
def world() -> Iterator[World]:
    simulator = UpstashSimulator()
    others = somebody_elses()
    simulator.databases[others["database_id"]] = others
    found: list[World] = []

    def respond(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        answer = simulator.answer(handler.command, handler.path, handler.headers, content)  # type: ignore[arg-type]
        if found[0].spoil is None or not found[0].spoil(handler, answer):
            send(handler, answer.status, json.dumps(answer.body).encode())

    with serving(respond) as url:
        found.append(World(simulator, url))
        yield found[0]
    assert simulator.databases.get(others["database_id"]) == somebody_elses(), "somebody else's database was touched"


def test_a_queue_evicts_nothing_and_a_cache_that_becomes_one_stops(world: World) -> None:
    identity = world.asks("Create", eviction=False)
    assert world.ours[0]["eviction"] is False
    world.asks("Update", identity, eviction=True)
    assert world.ours[0]["eviction"] is True
    world.asks("Update", identity, eviction=False)
    assert world.ours[0]["eviction"] is False


def test_a_database_is_created_updated_and_deleted(world: World) -> None:
    identity = world.asks("Create", read_regions=["us-east-1"])
    assert identity == f"upstash/{NAME}"
    (database,) = world.ours
    assert (database["primary_region"], database["read_regions"]) == ("eu-central-1", ["us-east-1"])
    assert database["eviction"] and database["tls"]
    assert world.manager.value is not None
    target = parse(world.manager.value)
    require_deployable(target)
    assert (target.nodes[0].host, target.password) == (database["endpoint"], database["password"])
    world.asks("Update", identity, read_regions=["us-west-1", "us-east-1"])
    assert sorted(world.ours[0]["read_regions"]) == ["us-east-1", "us-west-1"]
    before = len(world.writes())
    world.asks("Update", identity, read_regions=["us-east-1", "us-west-1"])
    assert len(world.writes()) == before, "nothing had changed"
    world.asks("Delete", identity)
    assert (world.ours, world.store.values) == ([], {})
    world.asks("Delete", identity)  # CloudFormation may ask twice


def test_a_name_that_is_taken_is_refused_and_left_alone(world: World) -> None:
    with pytest.raises(Refused, match="somebody-elses already, and it is not ours"):
        world.asks("Create", name="somebody-elses")
    # CloudFormation's next request has an id that shows that nothing of ours was created.
    assert world.writes() == []


def test_asked_twice_to_create_it_makes_one(world: World) -> None:
    world.asks("Create")
    world.asks("Create")
    assert len(world.ours) == 1


def test_an_answer_that_is_lost_makes_no_second_one(world: World) -> None:
    lost: list[Answer] = []

    def lose_the_first_create(handler: BaseHTTPRequestHandler, answer: Answer) -> bool:
        if handler.command == "POST" and handler.path == "/v2/redis/database" and not lost:
            lost.append(answer)
            handler.close_connection = True
            return True
        return False

    world.spoil = lose_the_first_create
    world.asks("Create")
    assert len(lost) == len(world.ours) == 1


def test_one_that_may_have_been_made_is_looked_for_when_it_goes(world: World) -> None:
    """The answer is lost, and then Upstash is away: whose the database is, was remembered before it was asked for."""

    def lose_it_and_everything_after(handler: BaseHTTPRequestHandler, answer: Answer) -> bool:
        if not world.ours:
            return False
        handler.close_connection = True
        return True

    world.spoil = lose_it_and_everything_after
    with pytest.raises(PartlyCreated) as failed:
        world.asks("Create")
    assert len(world.ours) == 1
    world.spoil = None
    world.asks("Delete", failed.value.physical_id)
    assert world.ours == []


def test_a_create_that_fails_half_way_leaves_nothing(world: World) -> None:
    world.manager.broken = True
    with pytest.raises(PartlyCreated) as failed:
        world.asks("Create")
    assert len(world.ours) == 1
    world.asks("Delete", failed.value.physical_id)
    assert (world.ours, world.store.values) == ([], {})


def test_a_database_that_never_gets_active_is_reported_in_time(world: World) -> None:
    world.simulator.polls_until_active = 10_000
    with pytest.raises(PartlyCreated, match="is creating") as failed:
        world.asks("Create")
    world.asks("Delete", failed.value.physical_id)
    assert world.ours == []


def test_a_database_deleted_by_hand_is_created_again(world: World) -> None:
    identity = world.asks("Create")
    world.simulator.databases.pop(world.ours[0]["database_id"])
    first = world.manager.value
    world.asks("Update", identity)
    assert len(world.ours) == 1
    assert world.manager.value != first


@pytest.mark.parametrize("change", [{"region": "us-east-1"}, {"name": "another"}])
def test_a_database_neither_moves_nor_gets_another_name(change: dict[str, str], world: World) -> None:
    identity = world.asks("Create")
    before = len(world.writes())
    with pytest.raises(Refused, match="add another instance"):
        world.asks("Update", identity, **change)
    assert len(world.writes()) == before


def test_an_outage_of_upstash_is_reported_and_retried(world: World) -> None:
    fails = [503, 502, 429]

    def fail(handler: BaseHTTPRequestHandler, answer: Answer) -> bool:
        if not fails:
            return False
        send(handler, fails.pop(), b"<html>busy</html>")
        return True

    world.spoil = fail
    world.asks("Create")
    assert len(world.ours) == 1
    fails += [503] * 20
    with pytest.raises(Unavailable, match="HTTP 503"):
        world.asks("Delete", f"upstash/{NAME}")


def test_a_database_on_a_port_closed_to_tasks_is_refused(world: World) -> None:
    world.simulator.start = lambda name, password: ("db.upstash.example", 30_000)
    with pytest.raises(PartlyCreated, match="listens on port 30000"):
        world.asks("Create")
    assert world.manager.value is None


def test_a_wrong_key_is_reported_without_the_key(world: World) -> None:
    api = world.api
    api.api_key = "another"
    with pytest.raises(Refused, match=r"HTTP 401: Unauthorized \(are e-mail address") as raised:
        api.databases()
    assert "another" not in str(raised.value).replace("another instance", "")


@pytest.mark.parametrize("content", ["", "no json", "[]", "{}", '{"email": "a"}', '{"email": "a", "api_key": " k\\n"}'])
def test_malformed_credentials_are_reported_by_the_secrets_name(content: str) -> None:
    class Manager:
        def get_secret_value(self, **_: str) -> dict[str, str]:
            return {"SecretString": content}

    with pytest.raises(BadCredentials, match="daadaar/upstash"):
        upstash_from(Secrets(Manager()), "daadaar/upstash", deadline=0)


def test_no_answer_to_cloudformation_holds_a_password(world: World) -> None:
    answers: list[bytes] = []
    event = {
        "RequestType": "Create",
        "RequestId": "r",
        "StackId": "s",
        "LogicalResourceId": "Database",
        "ResponseURL": "",
        "ResourceProperties": {
            "Document": json.dumps({"name": NAME, "region": "eu-central-1", "read_regions": [], "eviction": True}),
            "UrlSecret": "url",
        },
    }
    secrets = world.secrets
    serve(
        event,
        lambda request: provide(request, api=world.api, secrets=secrets, store=world.store),
        send=lambda _, body: answers.append(body),
        redact=secrets.redact,
    )
    (answer,) = answers
    assert json.loads(answer)["Status"] == "SUCCESS"
    assert world.ours[0]["password"] not in answer.decode()
    assert API_KEY not in answer.decode()


def test_usage_is_published_in_percent_of_the_limits(world: World) -> None:
    world.asks("Create")
    world.ours[0].update(db_disk_threshold=200, db_daily_bandwidth_limit=1000)
    world.simulator.statistics = {
        "diskusage": [{"x": "1", "y": 10}, {"x": "2", "y": 50}, {"x": "3", "y": None}],
        "bandwidths": [{"x": "1", "y": 990}],
    }
    assert usage(world.api, world.store, NAME) == {"StorageUsedPercent": 25.0, "BandwidthUsedPercent": 99.0}
    world.ours[0].update(db_disk_threshold=-1, db_daily_bandwidth_limit=None)
    assert usage(world.api, world.store, NAME) == {}
    world.simulator.statistics = {"diskusage": None, "bandwidths": []}
    assert usage(world.api, world.store, NAME) == {}
    with pytest.raises(LookupError, match="somebody-elses"):
        usage(world.api, world.store, "somebody-elses")


_REDIRECT = """
const own = fetch;
globalThis.fetch = (url, options) => own(String(url).replace(/^https:..[^/]*/, process.env.TO), options);
"""


def vendor(world: World, *words: str) -> None:
    """Upstash's own command line, with nothing but the host of its requests replaced."""
    done = subprocess.run(
        [
            "node",
            "--import",
            f"data:text/javascript,{quote(_REDIRECT)}",
            ROOT / "node_modules/@upstash/cli/dist/cli.js",
            *words,
        ],
        env={"PATH": os.environ["PATH"], "UPSTASH_EMAIL": EMAIL, "UPSTASH_API_KEY": API_KEY, "TO": world.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_request_of_ours_is_one_that_the_vendors_command_line_makes(world: World) -> None:
    """Compares method, path and keys of the body, and runs the vendor's program against the simulator."""
    vendor(world, "redis", "list")
    vendor(world, "redis", "create", "--name", "x", "--region", "eu-central-1", "--read-regions", "us-east-1")
    (identity,) = [key for key, each in world.simulator.databases.items() if each["database_name"] == "x"]
    for words in (
        ["get"],
        ["update-regions", "--read-regions", "us-west-1"],
        ["enable-tls"],
        ["enable-eviction"],
        ["stats"],
        ["delete"],
    ):
        vendor(world, "redis", words[0], "--db-id", identity, *words[1:])
    theirs = {_shape(call) for call in world.simulator.calls}
    world.simulator.calls.clear()
    ours = world.asks("Create", read_regions=["us-east-1"])
    world.ours[0]["tls"] = False
    world.asks("Update", ours, read_regions=["us-west-1"])
    usage(world.api, world.store, NAME)
    world.asks("Delete", ours)
    made = {_shape(call) for call in world.simulator.calls}
    assert made <= theirs
    assert made == theirs, f"the vendor's: {theirs - made}"


def _shape(call: Any) -> tuple[str, str, tuple[str, ...]]:
    return call.method, re.sub(r"/[0-9a-f]{32}", "/ID", call.path), tuple(sorted(call.body or ()))
