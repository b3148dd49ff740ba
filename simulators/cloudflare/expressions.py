"""Rules' expressions, evaluated for one request.

The part of the language that zones here use (Cloudflare, "Rules language": fields, functions, operators). Anything else
raises `NotUnderstood`, so that no request is judged by a guess.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>\d[\da-fA-F.:/]*)|(?P<word>[A-Za-z_][\w.]*)'
    r"|(?P<mark>\[\*\]|==|!=|&&|\|\||[(){}\[\],!]))"
)
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "lower": str.lower,
    "upper": str.upper,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "concat": lambda *parts: "".join(map(str, parts)),
    "any": any,
    "all": all,
}
_SYNONYMS = {"==": "eq", "!=": "ne", "&&": "and", "||": "or", "!": "not"}


class NotUnderstood(Exception):
    """The expression uses something that is not implemented here; the message names it."""


@dataclass(frozen=True)
class EdgeRequest:
    method: str
    host: str
    path: str
    query: str
    address: str
    """IP address of the visitor."""
    headers: Mapping[str, str]
    """Headers by name in lower case."""

    def field(self, name: str) -> Any:
        """Raises `NotUnderstood`."""
        known: dict[str, Any] = {
            "true": True,
            "false": False,
            "http.host": self.host,
            "http.request.method": self.method,
            "http.request.uri.path": self.path,
            "http.request.uri.query": self.query,
            "http.request.uri": self.path + (f"?{self.query}" if self.query else ""),
            "http.user_agent": self.headers.get("user-agent", ""),
            "http.referer": self.headers.get("referer", ""),
            "http.cookie": self.headers.get("cookie", ""),
            "http.request.headers": {name: [value] for name, value in self.headers.items()},
            "ip.src": self.address,
            "cf.client.bot": False,
            "ssl": True,
        }
        if name not in known:
            raise NotUnderstood(f"the field {name}")
        return known[name]


def matches(expression: str, request: EdgeRequest) -> bool:
    """Raises `NotUnderstood`."""
    reader = _Reader(_tokens(expression), request)
    found = reader.either()
    if reader.tokens:
        raise NotUnderstood(reader.tokens[0])
    return bool(found)


def text(expression: str, request: EdgeRequest) -> str:
    """Value of a string expression, such as a redirect's target. Raises `NotUnderstood`."""
    return str(_Reader(_tokens(expression), request).value())


def _tokens(expression: str) -> list[str]:
    found, at = list[str](), 0
    while expression[at:].strip():
        if (match := _TOKEN.match(expression, at)) is None:
            raise NotUnderstood(expression[at : at + 20])
        found.append(match[0].strip())
        at = match.end()
    return found


@dataclass
class _Reader:
    tokens: list[str]
    request: EdgeRequest

    def _next(self, *wanted: str) -> bool:
        if self.tokens and _SYNONYMS.get(self.tokens[0], self.tokens[0]) in wanted:
            self.tokens.pop(0)
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._next(mark):
            raise NotUnderstood(self.tokens[0] if self.tokens else "its end")

    def either(self) -> Any:
        found = self._both()
        while self._next("or"):
            other = self._both()
            found = found or other
        return found

    def _both(self) -> Any:
        found = self._one()
        while self._next("and"):
            other = self._one()
            found = found and other
        return found

    def _one(self) -> Any:
        if self._next("not"):
            return not self._one()
        if self._next("("):
            found = self.either()
            self._expect(")")
            return found
        return self._compared(self.value())

    def _compared(self, left: Any) -> Any:
        many = isinstance(left, list)
        for operator, holds in _OPERATORS.items():
            if self._next(operator):
                right = self._set() if operator == "in" else self.value()
                found = [holds(each, right) for each in (left if many else [left])]
                return found if many else found[0]
        return left

    def _set(self) -> list[Any]:
        self._expect("{")
        found = []
        while not self._next("}"):
            found.append(self.value())
        return found

    def value(self) -> Any:
        if not self.tokens:
            raise NotUnderstood("its end")
        token = self.tokens.pop(0)
        if token.startswith('"'):
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        if token[0].isdigit():
            return token
        if self._next("("):
            if token not in _FUNCTIONS:
                raise NotUnderstood(f"the function {token}")
            arguments = [self.either()]
            while self._next(","):
                arguments.append(self.either())
            self._expect(")")
            return _FUNCTIONS[token](*arguments)
        found = self.request.field(token)
        if self._next("["):
            found = found.get(self.value(), [])
            self._expect("]")
            self._expect("[*]")
        return found


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: bool(left == right),
    "ne": lambda left, right: bool(left != right),
    "contains": lambda left, right: right in left,
    "in": lambda left, right: left in right,
}
