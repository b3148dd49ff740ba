"""Functions' exceptions are reported to Sentry and raised again, without secrets."""

import gzip
import importlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk

from infra_runtime import reporting
from infra_runtime.contract.secret_values import Secrets
from infra_runtime.custom_resource import Result, serve
from infra_runtime.reporting import report, reported
from simulators.http_server import send, serving
from tests.runtime.conftest import FakeSecretsManager

RUNTIME = Path(reporting.__file__).parent
SECRET = "t0ken-that-nobody-may-ever-see-0123456789"
Events = list[dict[str, Any]]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[Events]:
    """Events that arrive at a simulated Sentry."""
    found: Events = []

    def respond(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        encoding = handler.headers.get("Content-Encoding")
        text = gzip.decompress(content) if encoding == "gzip" else content
        assert "sentry_key=0123456789abcdef" in handler.headers["X-Sentry-Auth"]
        lines = text.split(b"\n")
        found.extend(
            json.loads(item) for header, item in zip(lines[1::2], lines[2::2], strict=False) if b'"event"' in header
        )
        send(handler, 200, b"{}")

    with serving(respond) as url:
        monkeypatch.setenv("SENTRY_DSN", url.replace("http://", "http://0123456789abcdef@") + "/3")
        monkeypatch.setenv("SENTRY_ENVIRONMENT", "test")
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "dev-function")
        reporting._started.cache_clear()
        yield found
        sentry_sdk.get_client().close()
        reporting._started.cache_clear()


@reported
def breaks(event: Any, context: Any) -> None:
    password = SECRET
    raise RuntimeError(f"no answer from {event['host']}: {len(password)}")


def test_an_exception_arrives_and_goes_on(events: Events) -> None:
    with pytest.raises(RuntimeError, match="no answer"):
        breaks({"host": "db.internal"}, None)
    (event,) = events
    (exception,) = event["exception"]["values"]
    assert exception["type"] == "RuntimeError"
    assert exception["value"].startswith("no answer from db.internal")
    assert event["environment"] == "test"
    assert event["server_name"] == "dev-function"


def test_neither_locals_nor_the_event_are_reported(events: Events) -> None:
    # Put together, as Sentry shows the lines of source around the one that raised.
    body = " ".join(["of", "a", "user"])
    with pytest.raises(RuntimeError):
        breaks({"host": "db", "body": body}, None)
    text = json.dumps(events)
    assert '"vars"' not in text
    assert body not in text
    assert len(events) == 1


def test_a_secret_in_the_message_is_blotted_out(events: Events) -> None:
    Secrets(FakeSecretsManager({"s": SECRET})).read("s")
    report(ValueError(f"refused: {SECRET}"))
    assert SECRET not in json.dumps(events)
    assert "refused: ********" in json.dumps(events)


def test_a_failed_custom_resource_is_reported_after_its_answer(events: Events) -> None:
    order: list[str] = []

    def handle(_: Any) -> Result:
        raise ValueError(f"not like this: {SECRET}")

    event = {
        "RequestId": "r", "StackId": "s", "LogicalResourceId": "l", "RequestType": "Create", "ResponseURL": "u",
        "ResourceProperties": {},
    }  # fmt: skip
    serve(
        event,
        handle,
        send=lambda *_: order.append(f"answered, {len(events)} reported"),
        redact=lambda text: text.replace(SECRET, "…"),
    )
    assert order == ["answered, 0 reported"]
    assert "not like this: …" in json.dumps(events, ensure_ascii=False)
    assert SECRET not in json.dumps(events)


def test_an_unreachable_sentry_does_not_change_the_functions_error(
    monkeypatch: pytest.MonkeyPatch, events: Events
) -> None:
    monkeypatch.setenv("SENTRY_DSN", "http://0123456789abcdef@127.0.0.1:9/3")
    with pytest.raises(RuntimeError):
        breaks({"host": "db"}, None)
    assert events == []


def test_without_an_address_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SENTRY_DSN", raising=False)
    monkeypatch.setattr(reporting, "_sent", lambda *_: pytest.fail("nothing may be reported"))
    with pytest.raises(RuntimeError):
        breaks({"host": "db"}, None)


def test_every_function_reports() -> None:
    modules = [path for path in RUNTIME.rglob("*.py") if "\ndef handler(" in path.read_text()]
    assert len(modules) > 20
    for path in modules:
        name = ".".join(path.relative_to(RUNTIME.parent).with_suffix("").parts)
        assert hasattr(importlib.import_module(name).handler, "__wrapped__"), name
