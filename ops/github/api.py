"""GitHub's REST API, with the operator's own token."""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx

from ops.errors import InputError, OperatorError

_API = "https://api.github.com"
_TIMEOUT_SECONDS = 5.0
# GitHub's maximum for a page of variables; for other lists it is 100.
_PAGE = 30
_AGAIN = "changes so far stay: run it again"
_PERMISSIONS = "it needs Administration and Environments (write) and Actions (read), or the classic scope repo"


def connection(variables: Mapping[str, str] = os.environ) -> httpx.Client:
    """A client with the token in GH_TOKEN or GITHUB_TOKEN, like `gh`; without one it sees only public data.

    GitHub's runners and rehearsals set GITHUB_API_URL. Raises `InputError` if a variable is malformed.
    """
    base_url = variables.get("GITHUB_API_URL") or _API
    if not base_url.startswith(("https://", "http://127.0.0.1:")):
        raise InputError(f"GITHUB_API_URL is {base_url!r}: expected the URL of GitHub's API, as {_API}")
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28", "User-Agent": "infra/1"}
    for name in ("GH_TOKEN", "GITHUB_TOKEN"):
        if token := variables.get(name, "").strip():
            if not (token.isascii() and token.isprintable() and " " not in token):
                raise InputError(f"{name} is no GitHub token, which has only letters, digits and _")
            headers["Authorization"] = f"Bearer {token}"
            break
    return httpx.Client(base_url=base_url, headers=headers, timeout=_TIMEOUT_SECONDS)


def ask(github: httpx.Client, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """The answer's content; None if a GET finds nothing.

    Raises `InputError` if GitHub refuses, `OperatorError` if it does not answer.
    """
    what = f"{method} {path.partition('?')[0]}"
    try:
        answer = github.request(method, path, json=body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OperatorError(f"{what}: GitHub cannot be reached from here ({type(error).__name__}); {_AGAIN}") from None
    # 303: the same branch policy exists already.
    if (method == "GET" and answer.status_code == 404) or answer.status_code == 303:
        return None
    if answer.status_code >= 300:
        raise _refused(what, answer)
    try:
        found = answer.json() if answer.content else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise OperatorError(f"{what}: the server that answered is not GitHub's API; {_AGAIN}")
    return found


def pages(github: httpx.Client, path: str, key: str) -> Iterator[Mapping[str, Any]]:
    """All items of a list. Raises as `ask`."""
    for number in count(1):
        page = (ask(github, "GET", f"{path}?per_page={_PAGE}&page={number}") or {}).get(key, [])
        yield from page
        if len(page) < _PAGE:
            return


def _refused(what: str, answer: httpx.Response) -> Exception:
    status = answer.status_code
    try:
        text = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        text = "no reason given"
    if status == 429 or (status == 403 and (_is_used_up(answer) or "Retry-After" in answer.headers)):
        return InputError(f"{what}: GitHub's rate limit is used up{_until(answer)}; {_AGAIN}")
    hints = {
        401: "the token is not valid, or has expired",
        403: f"the token may not do that; {_PERMISSIONS}",
        404: f"it does not exist, or the token may not see it; {_PERMISSIONS}",
        422: "GitHub does not accept it",
    }
    if 300 <= status < 400:
        return InputError(f"{what}: the repository was renamed; write its new name into the environment's file")
    kind = OperatorError if status >= 500 else InputError
    return kind(f"{what}: HTTP {status}, {text}: {hints.get(status, _AGAIN)}")


def _is_used_up(answer: httpx.Response) -> bool:
    return str(answer.headers.get("x-ratelimit-remaining")) == "0"


def _until(answer: httpx.Response) -> str:
    reset = answer.headers.get("x-ratelimit-reset", "")
    if not (_is_used_up(answer) and reset.isascii() and reset.isdigit()):
        return ""
    return f" until {datetime.fromtimestamp(int(reset), UTC):%H:%M} UTC"
