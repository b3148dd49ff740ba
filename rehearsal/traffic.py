"""Simulated users: requests without a pause, and the outcome of each."""

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

from config.services import hosts
from rehearsal.account import Account

# A quick path that queries the database, and a slow one that is in progress while tasks start and stop.
_PATHS = ("/", "/", "/", "/slow")
_USERS = 3
# Steady arrivals: real users do not wait for one another, so a slow answer must not thin out the requests after it.
_PER_SECOND = 20.0
_TIMEOUT_SECONDS = 10.0


@dataclass
class UserTraffic:
    """`failures` are answers other than 200 and requests that had none."""

    host: str
    address: str
    port: int
    versions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)
    """Time of each version's last answer, by `time.monotonic`."""
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def requests(self) -> int:
        return sum(self.versions.values()) + len(self.failures)

    def ask(self, path: str) -> Any:
        """Sends one request. Raises `OSError` and `ValueError`."""
        connection = HTTPConnection(self.address, self.port, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request("GET", path, headers={"Host": self.host})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise ValueError(f"{path}: {answer.status} {body[:200]!r}")
            return json.loads(body)
        finally:
            connection.close()

    def _visit(self, path: str) -> None:
        try:
            version = self.ask(path)["version"]
        except (OSError, ValueError, KeyError) as error:
            self.failures.append(f"{time.strftime('%H:%M:%S')} {path}: {error}")
        else:
            with self._lock:
                self.versions[version] += 1
            self.last[version] = time.monotonic()

    def _user(self, number: int, paths: Sequence[str]) -> None:
        while not self._over.is_set():
            for path in (*paths[number:], *paths[:number]):
                self._visit(path)
                time.sleep(0.02)

    def _arrivals(self, paths: Sequence[str], visits: list[threading.Thread]) -> None:
        began = time.monotonic()
        for number in itertools.count():
            if self._over.wait(max(0.0, began + number / _PER_SECOND - time.monotonic())):
                return
            visit = threading.Thread(target=self._visit, args=(paths[number % len(paths)],), daemon=True)
            visit.start()
            visits.append(visit)

    @contextmanager
    def arriving(self, paths: Sequence[str] = _PATHS) -> Iterator["UserTraffic"]:
        """Twenty requests a second, independent of earlier ones, so that the share of failures is a share of time."""
        visits: list[threading.Thread] = []
        clock = threading.Thread(target=self._arrivals, args=(paths, visits), daemon=True)
        clock.start()
        try:
            yield self
        finally:
            self._over.set()
            for each in (clock, *visits):
                each.join(_TIMEOUT_SECONDS)

    @contextmanager
    def flowing(self, paths: Sequence[str] = _PATHS) -> Iterator["UserTraffic"]:
        users = [threading.Thread(target=self._user, args=(number, paths), daemon=True) for number in range(_USERS)]
        for each in users:
            each.start()
        try:
            yield self
        finally:
            self._over.set()
            for each in users:
                each.join(_TIMEOUT_SECONDS)


def traffic(account: Account) -> UserTraffic:
    """Users of the main service, through the load balancer."""
    return UserTraffic(hosts(account.environment)[account.main], *account.emulator.load_balancer())
