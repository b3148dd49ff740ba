"""Removes objects from Cloudflare's cache.

By prefix, not by URL: a purge by URL leaves what was cached for requests with an `Origin` header (cloudflare-docs,
purge-by-single-file.mdx). All plans may purge by prefix.
"""

from collections.abc import Sequence
from urllib.parse import quote

from infra_runtime.cloudflare.api import Api

# cloudflare-docs, purge_by_prefix.mdx: "Maximum 30 prefixes per API call"; its table of limits says 100.
_AT_ONCE = 30
# What browsers, `encodeURIComponent` and AWS's SDKs leave as it is in a path.
_SPELLINGS = ("/!$&'()*+,;=:@", "/!'()*", "/")


def prefixes(host: str, key: str) -> list[str]:
    """Prefixes that purge one object of the bucket behind a host, in every spelling that requests for it use."""
    return list(dict.fromkeys(f"{host}/{quote(key, safe=safe)}" for safe in _SPELLINGS))


def purge(api: Api, zone: str, wanted: Sequence[str]) -> None:
    """Each prefix is a host and a path. Raises what `Api.write` does; what was asked for until then is done."""
    each_once = list(dict.fromkeys(wanted))
    for at in range(0, len(each_once), _AT_ONCE):
        some = each_once[at : at + _AT_ONCE]
        api.write("POST", f"/zones/{zone}/purge_cache", {"prefixes": some}, may_repeat=True)
