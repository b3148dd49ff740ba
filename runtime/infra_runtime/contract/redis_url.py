"""`REDIS_URL` and its overrides, read in one way: the one that docs/redis-client.md promises to the application.

redis-py and ioredis read many a URL differently, and silently (`redis://h/1/2` is database 12 for one and 1 for the
other). So this grammar is strict, what it refuses is refused before anything is deployed, and clients get explicit
options from it rather than the URL. No message holds any part of a value: a URL that is wrong may be a password in
the wrong place.

Standard library only: the configuration, which imports no Lambda function, reads URLs with it, too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

Form = Literal["single", "sentinel", "cluster"]

PORT, TLS_PORT, SENTINEL_PORT = 6379, 6380, 26379
UPSTASH_PORTS = (PORT, TLS_PORT)
"""The network lets tasks reach these; a database at Upstash that listens on another is refused."""
HIGHEST_DATABASE = 15
_LONGEST = 4096
_SCHEMES: Mapping[str, tuple[bool, bool]] = {
    # TLS, Sentinel
    "redis": (False, False),
    "rediss": (True, False),
    "redis-sentinel": (False, True),
    "rediss-sentinel": (True, True),
}
_FORMS = "redis://, rediss://, redis-sentinel:// or rediss-sentinel://"
# RFC 3986, unreserved and sub-delims; the colon besides, as both clients split at the first one.
_USERINFO = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{2})*")
_QUERY_VALUE = re.compile(r"(?:[A-Za-z0-9\-._~]|%[0-9A-Fa-f]{2})+")
# An underscore is in no hostname of the DNS, but in the names that Docker Compose gives.
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_DATABASE = re.compile(r"[0-9]|1[0-5]")
# What Sentinel itself takes for a name.
_MASTER = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:/(?P<database>[0-9]|1[0-5]))?")
_HOST = re.compile(r"(?P<name>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?", re.DOTALL)
_OPTIONS = ("cluster", "sentinelUsername", "sentinelPassword")


class InvalidRedisUrl(ValueError):
    """Says which variable is wrong and what is allowed there; never what it holds."""

    def __init__(self, key: str, expected: str, hint: str | None = None) -> None:
        self.key, self.expected, self.hint = key, expected, hint
        super().__init__(f"{key}: expected {expected}" + (f" ({hint})" if hint else ""))


@dataclass(frozen=True)
class Node:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class RedisTarget:
    """Where Redis is and how to speak to it."""

    form: Form
    nodes: tuple[Node, ...]
    """The data nodes, or the Sentinels."""
    tls: bool = False
    """TLS with data nodes and Sentinels alike; certificates are always verified."""
    username: str | None = None
    """User on the data nodes; None is Redis' own `default`."""
    password: str | None = field(default=None, repr=False)
    database: int = 0
    master: str | None = None
    """The name under which the Sentinels know the data."""
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    def url(self) -> str:
        """The URL that is read as this, with every secret in it."""
        is_sentinel = self.form == "sentinel"
        scheme = ("rediss" if self.tls else "redis") + ("-sentinel" if is_sentinel else "")
        user = "" if self.username is None else _quoted(self.username)
        login = "" if self.password is None else f"{user}:{_quoted(self.password)}@"
        path = f"/{self.master}/{self.database}" if is_sentinel else f"/{self.database}"
        options = []
        if self.form == "cluster" and len(self.nodes) == 1:
            options.append("cluster=true")
        if self.sentinel_username is not None:
            options.append(f"sentinelUsername={_quoted(self.sentinel_username)}")
        if self.sentinel_password is not None:
            options.append(f"sentinelPassword={_quoted(self.sentinel_password)}")
        query = "?" + "&".join(options) if options else ""
        return f"{scheme}://{login}{','.join(map(str, self.nodes))}{path}{query}"

    def described(self) -> dict[str, str]:
        """The parts of the URL for people, without secrets."""
        parts = {
            "form": self.form,
            "sentinels" if self.form == "sentinel" else "nodes": ", ".join(map(str, self.nodes)),
            "master": self.master,
            "tls": "on" if self.tls else "off",
            "username": self.username or "default",
            "password": "********" if self.password else "none",
            "database": str(self.database),
            "Sentinels' login": None if self.sentinel_password is None else "********",
        }
        return {key: value for key, value in parts.items() if value is not None}


def parse(url: str, *, password: str | None = None, tls: str | None = None, database: str | None = None) -> RedisTarget:
    """Reads a URL with the three overrides, as the environment has them. Raises `InvalidRedisUrl`.

    An override holds where the URL is silent or says the same; a contradiction names both variables.
    """
    has_tls, is_sentinel, rest = _scheme(url)
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    userinfo, at, hosts = authority.rpartition("@")
    if any("@" in part for part in (userinfo, path, query)):
        raise _wrong("one @ at most, before the host", "of a password, @ is written %40, / is %2F and ? is %3F")
    username, own_password = _login(userinfo) if at else (None, None)
    has_tls = _tls(has_tls, tls)
    own_password = _password(own_password, password)
    if username is not None and own_password is None:
        raise _wrong("no username without a password", "a password alone is written :password@, with its colon")
    default = SENTINEL_PORT if is_sentinel else TLS_PORT if has_tls else PORT
    nodes = tuple(_node(each, default) for each in hosts.split(","))
    if len(set(nodes)) != len(nodes):
        raise _wrong("nodes that are all different")
    options = _options(query) if query or url.endswith("?") else {}
    if is_sentinel:
        master = _MASTER.fullmatch(path)
        if master is None:
            expected = "the master's name behind the Sentinels: letters, digits, dots, - and _"
            raise _wrong(expected, "as /mymaster, or /mymaster/1 for database 1")
        if "cluster" in options:
            raise _wrong("no option cluster with Sentinels")
        return RedisTarget(
            form="sentinel",
            nodes=nodes,
            tls=has_tls,
            username=username,
            password=own_password,
            database=_database(master["database"], database),
            master=master["name"],
            sentinel_username=options.get("sentinelUsername"),
            sentinel_password=options.get("sentinelPassword"),
        )
    if path and not _DATABASE.fullmatch(path):
        raise _wrong(f"a database from 0 to {HIGHEST_DATABASE} behind the host, and nothing else")
    if "sentinelPassword" in options or "sentinelUsername" in options:
        raise _wrong("no option of Sentinels without them", "they begin with redis-sentinel:// or rediss-sentinel://")
    is_cluster = len(nodes) > 1 or "cluster" in options
    found = _database(path or None, database)
    if is_cluster and found:
        raise InvalidRedisUrl("REDIS_URL" if path else "REDIS_DB", "database 0: a cluster has no other")
    return RedisTarget(
        form="cluster" if is_cluster else "single",
        nodes=nodes,
        tls=has_tls,
        username=username,
        password=own_password,
        database=found,
    )


def from_environment(variables: Mapping[str, str]) -> RedisTarget | None:
    """What `REDIS_URL`, `REDIS_PASSWORD`, `REDIS_TLS` and `REDIS_DB` say together; None when none is set.

    Raises `InvalidRedisUrl`, also for an override without a URL.
    """
    names = ("REDIS_PASSWORD", "REDIS_TLS", "REDIS_DB")
    if "REDIS_URL" not in variables:
        for name in names:
            if name in variables:
                raise InvalidRedisUrl(name, "REDIS_URL beside it: by itself it overrides nothing")
        return None
    password, tls, database = (variables.get(name) for name in names)
    return parse(variables["REDIS_URL"], password=password, tls=tls, database=database)


def require_deployable(target: RedisTarget) -> None:
    """Raises `InvalidRedisUrl` for what must not leave a developer's machine: no TLS, or no password."""
    if not target.tls:
        raise _wrong("TLS in a deployed environment", "rediss:// or rediss-sentinel://")
    if not target.password:
        raise _wrong("a password in a deployed environment")


def _scheme(url: str) -> tuple[bool, bool, str]:
    if not url:
        raise _wrong("a URL, or no variable at all")
    if len(url) > _LONGEST:
        raise _wrong(f"at most {_LONGEST} characters")
    if url != url.strip():
        raise _wrong(
            "no space or line break around it", "a secret made by echo ends with a line break: printf does not"
        )
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise _wrong("printable ASCII without spaces; everything else percent-encoded")
    if url[0] in "\"'":
        raise _wrong("no quotes around it", "docker --env-file keeps them as a part of the value")
    if "${" in url or "{{" in url or "<" in url:
        raise _wrong("a value", "it still contains a placeholder")
    if "#" in url:
        raise _wrong("no fragment", "a # of a password is written %23")
    scheme, separator, rest = url.partition("://")
    known = _SCHEMES.get(scheme.lower())
    if not separator or known is None:
        if scheme.lower() in ("http", "https"):
            hint = "that is a REST URL; Upstash shows the one for Redis clients beside it, as rediss://"
        elif not separator:
            hint = "it has no scheme"
        else:
            hint = None
        raise _wrong(_FORMS, hint)
    return *known, rest


def _login(userinfo: str) -> tuple[str | None, str | None]:
    if not _USERINFO.fullmatch(userinfo):
        raise _wrong(
            "a login of letters, digits and -._~!$&'()*+,;=", "everything else percent-encoded, % itself as %25"
        )
    user, colon, password = userinfo.partition(":")
    if colon and not password:
        raise _wrong("a password behind the colon")
    if not user and not colon:
        raise _wrong("a login before the @")
    return _decoded(user) if user else None, _decoded(password) if colon else None


def _node(text: str, default_port: int) -> Node:
    match = _HOST.fullmatch(text)
    if match is None or not match["name"]:
        raise _wrong("host or host:port, several of them with commas between", "put an IPv6 address in brackets")
    port = match["port"]
    if port is not None and (not _PORT.fullmatch(port) or int(port) > 65535):
        raise _wrong("a port from 1 to 65535")
    return Node(_host(match["name"]), default_port if port is None else int(port))


def _host(text: str) -> str:
    labels = text.split(".")
    try:
        if text.startswith("["):
            if "%" not in text:
                return IPv6Address(text[1:-1]).compressed
        # 10.1 and 0x7f.1 are addresses for some readers and names for others.
        elif re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]*", labels[-1]):
            return str(IPv4Address(text))
        elif len(text) <= 253 and all(_LABEL.fullmatch(label) for label in labels):
            return text.lower()
    except AddressValueError:
        pass
    raise _wrong("a hostname, an IPv4 address, or an IPv6 address in brackets")


def _options(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in query.split("&"):
        name, _, value = each.partition("=")
        if name not in _OPTIONS:
            raise _wrong(f"no options but {', '.join(_OPTIONS)}", "a database is written behind the host: /1")
        if name in found:
            raise _wrong(f"the option {name} once")
        if not _QUERY_VALUE.fullmatch(value) or (name == "cluster" and value != "true"):
            raise _wrong("cluster=true" if name == "cluster" else f"a percent-encoded value of {name}")
        found[name] = _decoded(value)
    if "sentinelUsername" in found and "sentinelPassword" not in found:
        raise _wrong("sentinelPassword beside sentinelUsername")
    return found


def _tls(scheme_says: bool, override: str | None) -> bool:
    if override is None:
        return scheme_says
    if override not in ("true", "false"):
        raise InvalidRedisUrl("REDIS_TLS", "true or false")
    if scheme_says and override == "false":
        raise InvalidRedisUrl("REDIS_TLS", "what REDIS_URL says by its scheme: TLS is not turned off behind its back")
    return override == "true"


def _password(own: str | None, override: str | None) -> str | None:
    if override is None:
        return own
    if not override:
        raise InvalidRedisUrl("REDIS_PASSWORD", "a password, or no variable at all")
    if own is not None and own != override:
        raise InvalidRedisUrl("REDIS_PASSWORD", "the password that REDIS_URL has, or none in one of the two")
    return override


def _database(own: str | None, override: str | None) -> int:
    if override is None:
        return int(own or 0)
    if not _DATABASE.fullmatch(override):
        raise InvalidRedisUrl("REDIS_DB", f"a number from 0 to {HIGHEST_DATABASE}")
    if own is not None and own != override:
        raise InvalidRedisUrl("REDIS_DB", "the database that REDIS_URL names, or none in one of the two")
    return int(override)


def _decoded(text: str) -> str:
    try:
        plain = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise _wrong("percent-escapes of UTF-8") from None
    if any(ord(each) < 32 or ord(each) == 127 for each in plain):
        raise _wrong("no control characters, however they are encoded")
    return plain


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _wrong(expected: str, hint: str | None = None) -> InvalidRedisUrl:
    return InvalidRedisUrl("REDIS_URL", expected, hint)
