"""Whoever asks is named by STS, whatever the event says."""

import hashlib
import hmac
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import boto3
import pytest

from infra_runtime.caller import NotProven, identify, prove, who
from simulators.http_server import send, serving

KEY, SECRET = "AKIDEXAMPLE", "its-secret"
ARN = "arn:aws:sts::111122223333:assumed-role/Release/GitHubActions"
CONTROL = "daadaar-production-delivery-ApiReleases-1"


def signature(query: Mapping[str, str], headers: Any) -> str:
    """Version 4, of a GET of / (IAM User Guide, "Create a signed AWS API request")."""
    signed = query["X-Amz-SignedHeaders"].split(";")
    plain = sorted((key, value) for key, value in query.items() if key != "X-Amz-Signature")
    canonical = [
        *("GET", "/", urllib.parse.urlencode(plain, quote_via=urllib.parse.quote)),
        "".join(f"{name}:{headers.get(name, '')}\n" for name in signed),
        *(query["X-Amz-SignedHeaders"], hashlib.sha256(b"").hexdigest()),
    ]
    scope = query["X-Amz-Credential"].split("/")[1:]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    key = f"AWS4{SECRET}".encode()
    for part in (*scope, "\n".join(["AWS4-HMAC-SHA256", query["X-Amz-Date"], "/".join(scope), digest])):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


@contextmanager
def sts() -> Iterator[tuple[Any, str]]:
    """(a client that signs with the right key, the endpoint) of an STS that checks signatures."""

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(handler.path).query))
        if signature(query, handler.headers) != query["X-Amz-Signature"]:
            send(handler, 403, b"<Code>SignatureDoesNotMatch</Code>")
        elif query["Action"] == "GetCallerIdentity":
            send(handler, 200, f"<GetCallerIdentityResult><Arn>{ARN}</Arn></GetCallerIdentityResult>".encode())
        else:
            send(
                handler, 200, b"<FederatedUser><Arn>arn:aws:sts::111122223333:federated-user/ceo</Arn></FederatedUser>"
            )

    with serving(respond) as url:
        yield client(url, SECRET), url


def client(url: str, secret: str) -> Any:
    """A client with a role's credentials, as in a pipeline."""
    session = boto3.Session(KEY, secret, "FwoGZXIvYXdzEJr+/w==", "eu-central-1")
    return session.client("sts", endpoint_url=url)


def test_sts_names_the_caller_and_the_event_does_not() -> None:
    with sts() as (own, _):
        proof = prove(own, CONTROL)
        assert who({"caller": proof, "who": "the CEO"}, sts=own, function=CONTROL) == ARN
        found = who({"caller": proof, "acts_for": "mona (run 7)"}, sts=own, function=CONTROL)
        assert found == f"{ARN} for mona (run 7)"


def test_a_proof_for_one_function_proves_nothing_to_another() -> None:
    with sts() as (own, url), pytest.raises(NotProven, match="refuses the proof with 403"):
        identify(prove(own, "daadaar-dev-delivery-ApiReleases-1"), function=CONTROL, endpoint=url)


def test_a_wrong_key_identifies_no_caller() -> None:
    with sts() as (_, url), pytest.raises(NotProven, match="403"):
        identify(prove(client(url, "another secret"), CONTROL), function=CONTROL, endpoint=url)


@pytest.mark.parametrize("how", ["nothing", "another action", "two actions", "the action in small letters, too"])
def test_only_get_caller_identity_requests_are_sent(how: str) -> None:
    """GetFederationToken answers with an ARN whose name its caller chooses."""
    with sts() as (own, url):
        proof = prove(own, CONTROL)
        forged = {
            "nothing": "",
            "another action": proof.replace("GetCallerIdentity", "GetFederationToken"),
            "two actions": f"Action=GetFederationToken&{proof}",
            "the action in small letters, too": f"{proof}&action=GetFederationToken",
        }[how]
        with pytest.raises(NotProven, match="no request of GetCallerIdentity"):
            identify(forged, function=CONTROL, endpoint=url)


def test_no_caller_is_accepted_while_sts_is_away() -> None:
    with sts() as (own, _):
        proof = prove(own, CONTROL)
    with pytest.raises(NotProven, match="cannot be asked"):
        identify(proof, function=CONTROL, endpoint="http://127.0.0.1:9")
