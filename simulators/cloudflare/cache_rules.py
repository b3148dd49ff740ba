"""The effect of a zone's cache rules on one URL.

Every matching rule counts, and the last one to set a value wins (cloudflare-docs,
cache/how-to/cache-rules/order.mdx). Of the rules language, what cache rules here are written in; anything else raises
`NotImplementedError`.
"""

import re
from collections.abc import Iterator
from typing import Any

from simulators.cloudflare.vendor import CACHE
from simulators.cloudflare.world import Zone

_TOKEN = re.compile(
    r"""\s*(?:(?P<word>and\b|or\b|[()])
    |http\.host\s+eq\s+"(?P<host>[^"]*)"
    |http\.host\s+in\s+\{(?P<hosts>[^}]*)\}
    |starts_with\(http\.request\.uri\.path,\s*"(?P<prefix>[^"]*)"\))""",
    re.VERBOSE,
)


def cache_settings(zone: Zone, host: str, path: str) -> dict[str, Any]:
    """The combined settings for one URL; empty if no rule matches."""
    found: dict[str, Any] = {}
    for rule in zone.rulesets.get(CACHE, {"rules": []})["rules"]:
        if rule["enabled"] and matches(rule["expression"], host, path):
            found |= rule["action_parameters"]
    return found


def matches(expression: str, host: str, path: str) -> bool:
    """`and` binds closer than `or`."""
    words = "".join(_words(expression, host, path))
    # Only True, False, and, or and parentheses are left.
    return bool(eval(words, {"__builtins__": {}}))  # noqa: S307


def _words(expression: str, host: str, path: str) -> Iterator[str]:
    at = 0
    while at < len(expression.rstrip()):
        if (token := _TOKEN.match(expression, at)) is None:
            raise NotImplementedError(f"cache rule: {expression[at:]}")
        at = token.end()
        match token.lastgroup:
            case "word":
                yield f" {token['word']} "
            case "host":
                yield str(host == token["host"])
            case "hosts":
                yield str(host in re.findall(r'"([^"]*)"', token["hosts"]))
            case _:
                yield str(path.startswith(token["prefix"]))
