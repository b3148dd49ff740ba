"""Whether an object at Cloudflare is as declared, in any form in which Cloudflare shows it.

Cloudflare adds fields (`mitigation_expression`: terraform-provider-cloudflare #2722), leaves out defaults, reorders
lists and spells numbers and host names in its own way. None of that is a difference. A value other than the declared
one is; so is a field that was not declared and that only a person sets.
"""

from collections.abc import Mapping
from typing import Any

# Cloudflare never sets these by itself. Where they are not declared they change what a rule or a notification does.
_SET_BY_PEOPLE = frozenset(
    {"overrides", "ratelimit", "phases", "products", "ruleset", "rulesets", "rules", "headers", "uri", "custom_key",
     "status_code_ttl", "exposed_credential_check", "zones"}
)  # fmt: skip


# All of a query string in a cache key: the API's reference has the object, its answers the star, alone or in a list
# (recorded v4 ruleset http_request_cache_settings; `transformQueryStringJSON` of Cloudflare's Terraform provider).
_ALL = {"all": True}


def is_as_declared(declared: Any, found: Any) -> bool:
    """Every declared value is there. Order in lists, and whether an empty value is written down, do not matter."""
    if declared == _ALL and found in ("*", ["*"]):
        return True
    if isinstance(declared, Mapping):
        there = found if isinstance(found, Mapping) else {}
        return all(is_as_declared(value, there.get(key)) for key, value in declared.items()) and not any(
            there[key] for key in _SET_BY_PEOPLE & (there.keys() - declared.keys())
        )
    if isinstance(declared, list | tuple):
        left = list(found or ())
        for each in declared:
            at = next((at for at, one in enumerate(left) if is_as_declared(each, one)), None)
            if at is None:
                return False
            del left[at]
        return not left
    return _plain(declared) == _plain(found)


def undeclared(declared: Any, found: Any, path: str = "") -> list[str]:
    """Paths of fields that are set although the declaration does not name them, and that are no difference.

    An empty value counts as not set.
    """
    if not isinstance(declared, Mapping) or not isinstance(found, Mapping):
        return []
    paths = []
    for key, value in sorted(found.items()):
        if key in declared:
            paths += undeclared(declared[key], value, f"{path}{key}.")
        elif key not in _SET_BY_PEOPLE and _is_set(value):
            paths.append(f"{path}{key}")
    return paths


def host(name: str) -> str:
    """Cloudflare keeps host names in lower case and without the dot at the end (external-dns #1906)."""
    return name.lower().rstrip(".")


def _is_set(value: Any) -> bool:
    return any(map(_is_set, value.values())) if isinstance(value, Mapping) else bool(value)


def _plain(value: Any) -> str:
    match value:
        case None | False | "" | "false":
            return ""
        case True:
            return "true"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)
