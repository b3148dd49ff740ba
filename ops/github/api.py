"""GitHub's REST API, asked with the operator's own token."""

import os
from collections.abc import Mapping

import httpx

from ops.errors import InputError

_API = "https://api.github.com"
_PATIENCE_SECONDS = 5.0


def connection(variables: Mapping[str, str] = os.environ) -> httpx.Client:
    """With the token of GH_TOKEN or else GITHUB_TOKEN, as `gh` reads them; without one it sees what is public.

    GITHUB_API_URL is set on GitHub's runners; a rehearsal sets it, too. Raises `InputError` when one is malformed.
    """
    base_url = variables.get("GITHUB_API_URL") or _API
    if not base_url.startswith(("https://", "http://127.0.0.1:")):
        raise InputError(f"GITHUB_API_URL is {base_url!r}: expected the URL of GitHub's API, as {_API}")
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28", "User-Agent": "infra/1"}
    for name in ("GH_TOKEN", "GITHUB_TOKEN"):
        if token := variables.get(name, "").strip():
            if not (token.isascii() and token.isprintable() and " " not in token):
                raise InputError(f"{name} is no token: letters, digits and _ are what GitHub's tokens are made of")
            headers["Authorization"] = f"Bearer {token}"
            break
    return httpx.Client(base_url=base_url, headers=headers, timeout=_PATIENCE_SECONDS)
