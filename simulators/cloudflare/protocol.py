"""The envelope of Cloudflare's API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulators.http_server import Answer


@dataclass(frozen=True)
class ApiCall:
    method: str
    path: str
    """Path without the base, like /zones/…"""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    token: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    """Files of a form, by name."""

    @property
    def is_write(self) -> bool:
        # GraphQL Analytics uses POST, but only for queries.
        return self.method != "GET" and self.path != "/graphql"


class ApiProblem(Exception):
    """An error of Cloudflare's API."""

    def __init__(self, status: int, code: int, message: str, *, pointer: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.pointer = status, code, pointer


def ok(result: Any, **more: Any) -> Answer:
    return Answer(200, {"success": True, "errors": [], "messages": [], "result": result, **more})


def problem(refused: ApiProblem) -> Answer:
    error: dict[str, Any] = {"code": refused.code, "message": str(refused)}
    if refused.pointer:
        error["source"] = {"pointer": refused.pointer}
    return Answer(refused.status, {"success": False, "errors": [error], "messages": [], "result": None})
