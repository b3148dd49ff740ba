"""One-line edits of an environment's file, made from the model: each key up, down, other, added, removed."""

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.model import Environment

# Values that cannot be derived from a type, but are valid in the tests' environments. By key, `*` for any name.
OTHERS: Mapping[str, Any] = {
    "aws.account": "555566667777",
    "aws.region": "eu-west-1",
    "bootstrap_image": "public.ecr.aws/docker/library/node:25-alpine",
    "cloudflare.token_secret": "daadaar/other-token",
    "cloudflare.rate_limits": {
        "forms": {"service": "api", "path": "/forms/", "requests": 5, "period_seconds": 60, "block_seconds": 60}
    },
    "cloudflare.rate_limits.*.path": "/api/login/",
    "cloudflare.zone.owasp.exceptions": {"editor": {"host": "api.daadaar.com"}},
    "database.instance": ("t4g.small", "r8g.xlarge"),
    "delivery.after": "dev",
    "domains.media": "other-media.daadaar.com",
    "domains.redirects": {"www.daadaar.com": "frontend", "old.daadaar.com": "frontend"},
    "domains.zone": "example.org",
    "jobs": {"tidy": {"runs": "api", "schedule": "rate(1 hour)", "command": ["node", "tidy.js"]}},
    "media.bucket": "daadaar-other-media-frkia",
    "media.quarantine": "uploads/",
    "media.ttl_seconds": {"og/": 7200},
    "network.availability_zones": (
        ["eu-central-1a", "eu-central-1b"],
        ["eu-central-1a", "eu-central-1b", "eu-central-1c"],
    ),
    "network.cidr": "10.99.0.0/16",
    "network.interface_endpoints": ["ecr.api"],
    "previews": {"slots": 1, "hours": 10},
    "product": "fruits",
    "redis.instances.*.elasticache.node": ("cache.t4g.small", "cache.m7g.xlarge"),
    "redis.instances.*.external": {"url_secret": "daadaar/redis-url", "ports": [6380]},
    "redis.instances.*.upstash": {"credentials_secret": "daadaar/upstash", "region": "eu-central-1"},
    "services.*.amplify": {"repository": "daadaar/frontend", "branch": "main", "access_token_secret": "daadaar/github"},
    "services.*.command": ["node", "other.js"],
    "services.*.host": "new.daadaar.com",
    "services.*.migrations.command": ["npm", "run", "migrate"],
    "services.*.needs": (["database", "redis"], ["media"]),
    "services.*.secrets": {"JWT_KEY": "daadaar/jwt"},
    "services.*.variables": {"OTHER": "value"},
    "services.*.writable": ["/app/cache"],
}
_ABSENT = object()


@dataclass(frozen=True)
class Edit:
    key: str
    """The edited key as messages name it: services.api.port."""
    how: str
    """Kind of the edit: up, down, other, added or removed."""
    value: Any
    raw: Mapping[str, Any]
    """The whole edited file."""

    def over(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The same edit of another file."""
        return _with(raw, tuple(self.key.split(".")), _ABSENT if self.how == "removed" else self.value)

    def __str__(self) -> str:
        value = "" if self.how == "removed" else f" → {json.dumps(self.value)}"
        return f"{self.key} {self.how}{value}"


def every_key(model: type[BaseModel] = Environment, prefix: str = "") -> Iterator[str]:
    """Every key of the model, tables included; `*` for a name that the owner chooses."""
    for name, info in model.model_fields.items():
        path = f"{prefix}{name}"
        yield path
        inner, is_named = _section(info.annotation)
        if inner is not None:
            yield from every_key(inner, f"{path}.*." if is_named else f"{path}.")


def pattern(key: str, model: type[BaseModel] = Environment) -> str:
    """The model's key for a key of a file."""
    name, _, rest = key.partition(".")
    if not rest:
        return name
    inner, is_named = _section(model.model_fields[name].annotation)
    if not is_named:
        assert inner is not None
        return f"{name}.{pattern(rest, inner)}"
    _, _, rest = rest.partition(".")
    return f"{name}.*.{pattern(rest, inner)}" if inner is not None and rest else f"{name}.*"


def edits(raw: Mapping[str, Any]) -> Iterator[Edit]:
    """Edits of every key that the file's tables have or could have."""
    yield from _of_section(Environment, raw, (), raw)


def written(raw: Mapping[str, Any], into: Path) -> Path:
    """Writes a file as TOML with inline tables, as the standard library only reads TOML."""
    into.write_text("".join(f"{_toml_key(key)} = {_toml(value)}\n" for key, value in raw.items()))
    return into


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml_key(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _toml_key(key: str) -> str:
    return json.dumps(key)


def _of_section(
    model: type[BaseModel], table: Mapping[str, Any], path: tuple[str, ...], raw: Mapping[str, Any]
) -> Iterator[Edit]:
    for name, info in model.model_fields.items():
        key = (*path, name)
        now = table.get(name, _ABSENT)
        inner, is_named = _section(info.annotation)
        for how, value in _values(".".join(key), info, now):
            yield Edit(".".join(key), how, None if value is _ABSENT else value, _with(raw, key, value))
        if inner is None or now is _ABSENT:
            continue
        for own, below in now.items() if is_named else [("", now)]:
            yield from _of_section(inner, below, (*key, own) if is_named else key, raw)


def _values(key: str, info: FieldInfo, now: Any) -> Iterator[tuple[str, Any]]:
    if now is not _ABSENT:
        yield "removed", _ABSENT
    how = "added" if now is _ABSENT else "other"
    others = OTHERS.get(pattern(key))
    if others is not None:
        for each in others if isinstance(others, tuple) else (others,):
            if each != now:
                yield how, each
        return
    if _section(info.annotation)[0] is not None:
        return  # Its keys are edited one by one.
    current = info.get_default(call_default_factory=True) if now is _ABSENT else now
    for order, value in _others(info, list(current) if isinstance(current, tuple) else current):
        if value != current:
            yield ("added" if now is _ABSENT else order), value


def _others(info: FieldInfo, current: Any) -> Iterator[tuple[str, Any]]:
    type_, constraints = _scalar(info)
    if type_ is bool:
        yield "other", not current
    elif get_origin(type_) is Literal:
        choices = list(get_args(type_))
        now = choices.index(current) if current in choices else -1
        yield from (("up" if number > now else "down", each) for number, each in enumerate(choices))
    elif type_ in (int, float):
        low: Any = next((each.ge for each in constraints if isinstance(each, Ge)), 0)
        high: Any = next((each.le for each in constraints if isinstance(each, Le)), 10**6)
        start = low if current is None else current
        step = 1 if type_ is int else 0.01
        yield "up", min(start + step, high)
        yield "down", max(start - step, low)
    elif isinstance(current, list):
        yield "other", current[:-1] if len(current) > 1 else ["other@daadaar.com"]
    elif type_ is str:
        example = next((each for each in info.examples or () if each != current), None)
        yield "other", example or _other_text(str(current or ""))


def _other_text(current: str) -> str:
    """Another text of the same length and alphabet."""
    if not current:
        return "other"
    last = current[-1]
    return current[:-1] + ("1" if last != "1" else "2" if last.isdigit() else "b")


def _section(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The table that a field is, and whether its names are the owner's."""
    for each in _parts(annotation):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each, False
        if get_origin(each) is dict:
            inner, _ = _section(get_args(each)[1])
            return inner, True
    return None, False


def _scalar(info: FieldInfo) -> tuple[Any, list[Any]]:
    constraints = list(info.metadata)
    found: Any = None
    for each in _parts(info.annotation):
        if each is not type(None):
            found = each
    if isinstance(info.annotation, types.GenericAlias) or get_origin(info.annotation) is Annotated:
        constraints += list(getattr(info.annotation, "__metadata__", ()))
    return found, constraints


def _parts(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return [part for each in get_args(annotation) for part in _parts(each)]
    if origin is Annotated:
        return _parts(get_args(annotation)[0])
    return [annotation]


def _with(raw: Mapping[str, Any], key: tuple[str, ...], value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(raw))
    table = reduce(lambda inner, name: inner.setdefault(name, {}), key[:-1], copy)
    if value is _ABSENT:
        table.pop(key[-1], None)
    else:
        table[key[-1]] = value
    return copy
