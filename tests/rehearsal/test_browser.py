"""A real browser before the deployed environment: it enforces CORS, and nothing here does it for it.

Every name leads to one server of this test, which hands on as Cloudflare does: media from the edge's cache, everything
else to the load balancer. The pages are the test's own, at the site's origin and at another one; what they ask is the
deployed API, the emulated bucket, and the edge.
"""

import json
import os
import queue
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from config.services import hosts, sites
from rehearsal.account import Account
from rehearsal.checks.releases import first_release
from rehearsal.visitor import SimulatedVisitor
from simulators.http_server import send, serving
from simulators.redis.authority import Authority
from tests.browser import browser

PAGE = Path(__file__).with_name("upload.html").read_bytes()
ELSEWHERE = "elsewhere.example"
# Hop-by-hop headers, and headers of the encoded body, which is decoded here.
_NOT_PASSED_ON = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-encoding",
    "content-length",
    "date",
    "server",
}
_TIMEOUT_SECONDS = 90


@dataclass
class Edge:
    """The browser's simulated internet."""

    visitor: SimulatedVisitor
    pages: set[str]
    """Hosts of the pages."""
    names: set[str]
    """All hosts that this server answers for."""
    url: str = ""
    reports: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)
    cache_states: list[str] = field(default_factory=list)
    """Cache states of answers with an object."""

    def respond(self, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        host, path = handler.headers["Host"], urlsplit(handler.path).path
        if host in self.pages and path == "/upload":
            return send(handler, 200, PAGE, Content_Type="text/html")
        if host in self.pages and path == "/report":
            self.reports.put(json.loads(content))
            return send(handler, 204, b"")
        passed = {name: value for name, value in handler.headers.items() if name.lower() not in _NOT_PASSED_ON}
        answer = self.visitor.ask(handler.command, f"https://{host}{handler.path}", headers=passed, content=content)
        if answer.status_code == 200 and (state := answer.headers.get("cf-cache-status")):
            self.cache_states.append(state)
        headers = {name: value for name, value in answer.headers.items() if name not in _NOT_PASSED_ON}
        return send(handler, answer.status_code, answer.content, **headers)

    def open(self, page: str, folder: Path, **parameters: str) -> dict[str, Any]:
        """The page's report."""
        here = f"127.0.0.1:{urlsplit(self.url).port}"
        # No other server is reachable, which a browser would contact by itself.
        rules = ", ".join([*(f"MAP {name} {here}" for name in self.names), "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"])
        words = [
            browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage",
            # An authority of the test's own; the origin stays https://HOST, and CORS and mixed content are as ever.
            "--ignore-certificate-errors", f"--host-resolver-rules={rules}", f"--user-data-dir={folder}",
            f"https://{page}/upload#{quote(json.dumps(parameters))}",
        ]  # fmt: skip
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            return self.reports.get(timeout=_TIMEOUT_SECONDS)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def served(account: Account, folder: Path) -> Iterator[Edge]:
    environment = account.environment
    pages = {ELSEWHERE, *(str(each.host) for each in sites(environment).values())}
    edge = Edge(SimulatedVisitor(account), pages, {*pages, environment.domains.media, *hosts(environment).values()})
    folder.mkdir()
    files = Authority().certificate(*edge.names).write(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.chain, files.key)
    with serving(edge.respond, tls=tls) as edge.url:
        yield edge


@pytest.fixture(scope="module")
def edge(production: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    first_release(production)
    with served(production, tmp_path_factory.mktemp("browser") / "tls") as found:
        yield found


def urls(account: Account) -> dict[str, str]:
    return {"api": f"https://{account.environment.services['api'].host}",
            "media": f"https://{account.environment.domains.media}"}  # fmt: skip


def test_a_page_of_the_site_uploads_sees_and_deletes_a_picture(production: Account, edge: Edge, tmp_path: Path) -> None:
    site = str(production.environment.services["frontend"].host)
    found = edge.open(site, tmp_path, **urls(production))
    assert found["uploaded"] == 200
    assert found["larger"] != 200, "it was signed for fewer bytes"
    assert found["seen"] == [True] * 5
    assert "HIT" in edge.cache_states, "what was seen came from the edge"
    assert found["deleted"] == 200
    assert found["isGone"], "the edge still serves it after a minute"


def test_a_page_of_another_origin_can_neither_ask_nor_upload(production: Account, edge: Edge, tmp_path: Path) -> None:
    """A URL that was signed for the site does not help."""
    api = urls(production)["api"]
    signed = edge.visitor.ask("POST", f"{api}/uploads?type=image/png&size=109").json()
    found = edge.open(ELSEWHERE, tmp_path, **urls(production), url=signed["url"])
    assert found == {"asked": "TypeError: Failed to fetch", "uploaded": "TypeError: Failed to fetch"}
    missing = edge.visitor.get(f"{urls(production)['media']}/upload/{signed['id']}")
    assert missing.status_code == 403
    # Other clients may use it: CORS protects users, and the signature protects the bucket.
    assert httpx.put(signed["url"], content=b"a" * 109, headers={"Content-Type": "image/png"}).status_code == 200
    edge.visitor.ask("DELETE", f"{api}/uploads?id={signed['id']}")
