"""IAM tokens instead of passwords, checked as by RDS.

PostgreSQL asks this module by LDAP, where RDS has a PAM module: to a client, both are a password in clear over TLS. A
token is a request of `connect` that is signed for one host, port and user, and valid for 15 minutes (RDS user guide,
"IAM database authentication"); IAM must allow `rds-db:connect` on the user of that instance.
"""

import hashlib
import socketserver
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ministack.core import iam_evaluator, responses, sigv4

from simulators.aws.conditions import Condition, is_on

_LIFETIME = timedelta(minutes=15)
_SUCCESS, _INVALID_CREDENTIALS = 0, 49
_instances: dict[str, tuple[str, str, dict[str, Any]]] = {}
"""Account, region and record, by resource id."""


def method(instance: dict[str, Any]) -> str:
    """Authentication method of the instance, for pg_hba.conf."""
    resource = instance["DbiResourceId"]
    _instances[resource] = responses.get_account_id(), responses.get_region(), instance
    return f'ldap ldapserver=127.0.0.1 ldapport={_port()} ldapprefix="cn=" ldapsuffix=",ou={resource}"'


@cache
def _port() -> int:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Connection)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


def refusal(resource: str, user: str, token: str, *, now: datetime) -> str | None:
    """The reason why a login is refused; None if it is accepted."""
    account, region, instance = _instances[resource]
    responses.set_request_account_id(account)
    responses.set_request_region(region)
    parts = urlsplit(f"https://{token}")
    given = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    endpoint = instance["Endpoint"]
    if parts.netloc != f"{endpoint['Address']}:{endpoint['Port']}":
        return f"signed for {parts.netloc}"
    if (given.get("Action"), given.get("DBUser")) != ("connect", user):
        return f"signed for {given.get('Action')} as {given.get('DBUser')}"
    key, date, scope, service, _ = given["X-Amz-Credential"].split("/")
    if (scope, service) != (region, "rds-db"):
        return f"signed for {scope}, {service}"
    signed = datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if not signed - _LIFETIME < now < signed + min(_LIFETIME, timedelta(seconds=int(given["X-Amz-Expires"]))):
        return "the token has expired"
    credential = iam_evaluator.resolve_credential(key, account)
    secret = getattr(credential, "secret_access_key", None)
    if secret is None:
        return f"unknown access key {key}"
    canonical = sigv4.build_canonical_request(
        "GET", "/", {"host": parts.netloc}, given, given["X-Amz-SignedHeaders"],
        payload_hash=hashlib.sha256(b"").hexdigest(), exclude_query_params=("x-amz-signature",),
    )  # fmt: skip
    text = sigv4.build_string_to_sign(given["X-Amz-Date"], date, scope, service, canonical)
    if sigv4.calculate_signature(secret, date, scope, service, text) != given["X-Amz-Signature"]:
        return "the signature is wrong"
    arn = f"arn:aws:rds-db:{region}:{account}:dbuser:{resource}/{user}"
    if is_on(Condition.IAM) and iam_evaluator.enforce(key, "rds-db:connect", "rds-db", region, resource_arn=arn):
        return f"not allowed: rds-db:connect on {arn}"
    return None


class _Connection(socketserver.StreamRequestHandler):
    """One simple bind (RFC 4511, 4.2), of which the name is cn=USER,ou=RESOURCE and the password a token."""

    def handle(self) -> None:
        with suppress(ConnectionError):
            while (message := self._message()) is not None:
                identity, rest = _value(message)
                kind, (bind, _) = rest[0], _value(rest)
                if kind != 0x60:  # BindRequest
                    return
                _, bind = _value(bind)
                name, bind = _value(bind)
                password, _ = _value(bind)
                user, _, resource = name.decode().removeprefix("cn=").partition(",ou=")
                why = self._refusal(resource, user, password.decode())
                if why is not None:
                    print(f"no IAM login of {user}: {why}", flush=True)  # noqa: T201
                code = _SUCCESS if why is None else _INVALID_CREDENTIALS
                answer = bytes([0x61, 7, 0x0A, 1, code, 4, 0, 4, 0])
                self.wfile.write(_wrapped(0x30, _wrapped(0x02, identity) + answer))

    @staticmethod
    def _refusal(resource: str, user: str, token: str) -> str | None:
        try:
            return refusal(resource, user, token, now=datetime.now(UTC))
        except (KeyError, ValueError) as error:
            return f"no token: {error!r}"

    def _message(self) -> bytes | None:
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        if head[1] < 0x80:
            return self.rfile.read(head[1])
        return self.rfile.read(int.from_bytes(self.rfile.read(head[1] & 0x7F)))


def _value(data: bytes) -> tuple[bytes, bytes]:
    """Value of the first element, and the bytes after it."""
    length, at = data[1], 2
    if length >= 0x80:
        at += length & 0x7F
        length = int.from_bytes(data[2:at])
    return data[at : at + length], data[at + length :]


def _wrapped(tag: int, value: bytes) -> bytes:
    assert len(value) < 0x80
    return bytes([tag, len(value)]) + value
