"""Recorded answers of vendors, without ids and secrets of an account."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import boto3
import httpx

_ACCOUNT, _ZONE_NAME = "123456789012", "example.com"
# Values of these keys are secrets, wherever they occur.
_SECRET = frozenset({"SecretString", "SecretBinary", "SecretAccessKey", "SessionToken", "Value", "text", "value"})
_HIDDEN = "********"
_LONGEST_LIST = 20


@dataclass
class Recording:
    """`names` replaces what belongs to this owner: account, zone, hosts."""

    names: Mapping[str, str]
    answers: list[dict[str, Any]] = field(default_factory=list)

    def follow(self, session: boto3.Session) -> None:
        """Records every answer that clients of the session get from now on."""
        session.events.register("after-call.*.*", self._aws)

    def _aws(self, *, model: Any, http_response: Any, parsed: Any, **_: Any) -> None:
        body = {key: each for key, each in (parsed or {}).items() if key != "ResponseMetadata"}
        self._add("aws", f"{model.service_model.service_name}:{model.name}", http_response.status_code, body)

    def cloudflare(self, response: httpx.Response) -> None:
        """An event hook of httpx."""
        response.read()
        call = f"{response.request.method} {response.request.url.path.partition('/client/v4')[2]}"
        try:
            body = response.json()
        except ValueError:
            body = response.text[:500]
        self._add("cloudflare", call, response.status_code, body)

    def http(self, method: str, url: str, response: httpx.Response) -> None:
        """Headers only: the body is the product's."""
        self._add("visitor", f"{method} {url}", response.status_code, dict(response.headers))

    def _add(self, vendor: str, call: str, status: int, body: Any) -> None:
        self.answers.append({"vendor": vendor, "call": self.plain(call), "status": status, "body": self.plain(body)})

    def plain(self, node: Any, key: str = "") -> Any:
        """With public names and without secrets, as JSON can hold it; lists are cut after twenty."""
        match node:
            case Mapping():
                return {str(name): self.plain(each, str(name)) for name, each in node.items()}
            case list() | tuple():
                return [self.plain(each) for each in node[:_LONGEST_LIST]]
            case bytes():
                return base64.b64encode(node).decode()
            case datetime() | date():
                return node.isoformat()
            case str() if key in _SECRET:
                return _HIDDEN
            case str():
                for own, public in self.names.items():
                    node = node.replace(own, public)
                return node
            case None | bool() | int() | float():
                return node
            case _:
                return str(node)


def public_names(account: str, zone: str, *identities: str) -> dict[str, str]:
    """Replacements: the AWS account, the zone's name, and ids of the zone and of its account at Cloudflare."""
    numbered = {each: f"{number:032x}" for number, each in enumerate(identities, start=1)}
    return {account: _ACCOUNT, zone: _ZONE_NAME, **numbered}


def dump(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
