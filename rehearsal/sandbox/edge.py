"""Simulated Cloudflare in front of the sandbox: serves site, API and media under `HOST.localhost`.

It applies the zone's current redirects, custom WAF rules, rate limits and maintenance page, and sends other requests to
the load balancer or the media bucket. It is also the proxy through which Lambda functions reach public names.
"""

import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from infra_runtime.contract.cloudflare_phases import CUSTOM_WAF, RATE_LIMIT, REDIRECT
from rehearsal.account import Account
from rehearsal.visitor import SimulatedVisitor, by_maintenance
from simulators.cloudflare.analytics import SampledRequest as Counted
from simulators.cloudflare.expressions import EdgeRequest, NotUnderstood, matches, text
from simulators.redis.authority import Authority

_SUFFIX = ".localhost"
# As at Cloudflare, longer than the load balancer waits for a task.
_ORIGIN_SECONDS = 8.0
_KEPT_REQUESTS = 200_000
# From a network reserved for documentation, so no rule names it.
_VISITOR = "203.0.113.7"

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "te", "upgrade"}


@dataclass(frozen=True)
class EdgeAnswer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}


def _page(status: int, text_: str, **headers: str) -> EdgeAnswer:
    return EdgeAnswer(status, f"{status} {text_}\n".encode(), {"Content-Type": "text/plain", **headers})


@dataclass
class SandboxEdge:
    """Answers 503 until it has an account."""

    authority: Authority
    folder: Path
    """Folder for the hosts' certificates."""
    account: Account | None = None
    recent: "deque[dict[str, Any]]" = field(default_factory=lambda: deque(maxlen=400))
    """Requests of the last minutes: at, host, path, status, milliseconds."""
    _visitor: SimulatedVisitor | None = None
    _contexts: dict[str, ssl.SSLContext] = field(default_factory=dict)
    _counted: dict[tuple[str, int], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: EdgeRequest, body: bytes) -> EdgeAnswer:
        began = time.monotonic()
        found = self._answer(request, body)
        self.recent.append(
            {
                "at": time.time(),
                "host": request.host,
                "path": request.path,
                "status": found.status,
                "ms": round((time.monotonic() - began) * 1000),
            }
        )
        if self.account is not None:
            cache = found.headers.get("cf-cache-status", "none").lower()
            counted = Counted(datetime.now(UTC), request.host, cache, size=len(found.body), status=found.status)
            requests = self.account.zone.traffic.requests
            requests.append(counted)
            # The analytics API is asked for a few hours at most.
            del requests[:-_KEPT_REQUESTS]
        return found

    def _answer(self, request: EdgeRequest, body: bytes) -> EdgeAnswer:
        if (account := self.account) is None:
            return _page(503, "the sandbox is still being deployed")
        if request.host not in {each["name"] for each in list(account.zone.records.values())}:
            return _page(530, f"error 1016: the zone has no record {request.host}")
        if account.zone.answers_with is not None:
            return _page(account.zone.answers_with, "an error of Cloudflare itself")
        return (
            self._by_rules(account, request)
            or self._by_maintenance(account, request, body)
            or self._from_origin(account, request, body)
        )

    @staticmethod
    def _by_maintenance(account: Account, request: EdgeRequest, body: bytes) -> EdgeAnswer | None:
        url = f"https://{request.host}{request.path}" + (f"?{request.query}" if request.query else "")
        found = by_maintenance(account, request.method, url, headers=_end_to_end(request.headers), content=body)
        if found is None:
            return None
        headers = _end_to_end(found.headers)
        headers.pop("content-encoding", None)
        return EdgeAnswer(found.status_code, found.content, headers)

    def _by_rules(self, account: Account, request: EdgeRequest) -> EdgeAnswer | None:
        for rule in self._matching(account, REDIRECT, request):
            value = rule["action_parameters"]["from_value"]
            with suppress(NotUnderstood):
                target = value["target_url"]
                location = target.get("value") or text(target["expression"], request)
                query = f"?{request.query}" if request.query and value.get("preserve_query_string") else ""
                return EdgeAnswer(int(value.get("status_code", 301)), headers={"Location": f"{location}{query}"})
        for rule in self._matching(account, CUSTOM_WAF, request):
            if rule["action"] == "block":
                return _page(403, f"blocked by the rule {rule.get('description')!r}")
            if rule["action"] in ("managed_challenge", "js_challenge", "challenge"):
                return EdgeAnswer(403, b"a challenge\n", {"cf-mitigated": "challenge"})
        for rule in self._matching(account, RATE_LIMIT, request):
            limit = rule["ratelimit"]
            key = rule["ref"], int(time.time() // int(limit["period"]))
            with self._lock:
                self._counted[key] = self._counted.get(key, 0) + 1
            # One counter for each rule is enough: all visitors of the sandbox have one address.
            if self._counted[key] > int(limit["requests_per_period"]):
                return _page(429, f"error 1015: {rule.get('description')}")
        return None

    @staticmethod
    def _matching(account: Account, phase: str, request: EdgeRequest) -> Iterator[dict[str, Any]]:
        for rule in list(account.zone.rulesets.get(phase, {"rules": []})["rules"]):
            with suppress(NotUnderstood):
                if rule.get("enabled", True) and matches(rule["expression"], request):
                    yield rule

    def _from_origin(self, account: Account, request: EdgeRequest, body: bytes) -> EdgeAnswer:
        if request.host == account.environment.domains.media:
            return self._media(account, request)
        return self._from_balancer(account, request, body)

    def _media(self, account: Account, request: EdgeRequest) -> EdgeAnswer:
        self._visitor = self._visitor or SimulatedVisitor(account)
        try:
            found = self._visitor.get(f"https://{request.host}{request.path}")
        except (httpx.HTTPError, account.client("s3").exceptions.ClientError) as error:
            return _page(503 if "SlowDown" in str(error) else 404, str(error))
        headers = _end_to_end(found.headers)
        headers.pop("content-encoding", None)
        return EdgeAnswer(found.status_code, found.content, headers)

    @staticmethod
    def _from_balancer(account: Account, request: EdgeRequest, body: bytes) -> EdgeAnswer:
        connection = HTTPConnection(*account.emulator.load_balancer(), timeout=_ORIGIN_SECONDS)
        kept = _end_to_end(request.headers)
        target = request.path + (f"?{request.query}" if request.query else "")
        try:
            connection.request(request.method, target, body or None, {**kept, "Host": request.host})
            found = connection.getresponse()
            headers = {name: value for name, value in found.getheaders() if name.lower() not in _HOP_BY_HOP}
            return EdgeAnswer(found.status, found.read(), headers | {"cf-cache-status": "DYNAMIC"})
        except TimeoutError:
            return _page(524, "the origin accepted the connection and did not answer")
        except OSError as error:
            return _page(521, f"the origin refused the connection: {error}")
        finally:
            connection.close()

    def context(self, host: str) -> ssl.SSLContext:
        """TLS context with a certificate for the host."""
        with self._lock:
            if host not in self._contexts:
                folder = self.folder / host
                folder.mkdir(parents=True, exist_ok=True)
                files = self.authority.certificate(host).write(folder)
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(files.chain, files.key)
                self._contexts[host] = context
        return self._contexts[host]


@contextmanager
def serving(edge: SandboxEdge, port: int) -> Iterator[None]:
    """Serves on 127.0.0.1 for the duration of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True
        timeout = 60
        behind_connect: str | None = None

        def do_CONNECT(self) -> None:
            host = self.path.rpartition(":")[0]
            self.send_response_only(200, "Connection established")
            self.end_headers()
            self.wfile.flush()
            self.connection = edge.context(host).wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb", self.rbufsize)
            self.wfile = self.connection.makefile("wb")
            self.behind_connect, self.close_connection = host, False

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            host = self.behind_connect or self.headers.get("Host", "").partition(":")[0].removesuffix(_SUFFIX)
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = EdgeRequest(self.command, host, parts.path or "/", parts.query, _VISITOR, headers)
            found = edge.answer(request, body)
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(found.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _respond  # noqa: N815

        def finish(self) -> None:
            with suppress(OSError):
                super().finish()
            if self.behind_connect is not None:
                self.connection.close()  # The server closes only the connection that it has accepted.

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
