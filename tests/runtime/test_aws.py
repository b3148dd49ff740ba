"""The clients of our functions, against a service that throttles."""

from http.server import BaseHTTPRequestHandler

import pytest

from infra_runtime.aws import client
from simulators.http_server import send, serving


def test_a_client_with_short_timeouts_retries_throttled_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        asked.append(handler.path)
        throttled = len(asked) < 3
        body = b'{"__type": "ThrottlingException"}' if throttled else b'{"SecretString": "value"}'
        send(handler, 400 if throttled else 200, body)

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with serving(respond) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        # A separate client: those of the functions are kept.
        found = client.__wrapped__("secretsmanager", seconds=2).get_secret_value(SecretId="a")
    assert (found["SecretString"], len(asked)) == ("value", 3)
