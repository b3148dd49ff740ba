"""Who asks a function, by the caller's own credentials: a request to STS that the caller signs and the function sends.

A Lambda function does not learn who invoked it. STS can: GetCallerIdentity names the identity that signed
it, and a signed request can be passed on (as for the tokens of Amazon EKS). The signature covers the name of the
function that is asked, so that what was made for one function proves nothing to another.
"""

import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

_FOR = "x-infra-function"
_SECONDS = 60
_TIMEOUT_SECONDS = 5
_MOST_BYTES = 65_536
_ARN = re.compile(r"<Arn>(arn:[^<]+)</Arn>")
_LONGEST_CLAIM = 200


class NotProven(Exception):
    """Why STS does not vouch for the caller."""


def prove(sts: Any, function: str) -> str:
    """The query of a signed GetCallerIdentity, valid for a minute; `sts` is a client with the caller's credentials."""

    def name_the_function(request: Any, **_: Any) -> None:
        request.headers[_FOR] = function

    event = "before-sign.sts.GetCallerIdentity"
    sts.meta.events.register(event, name_the_function)
    try:
        url: str = sts.generate_presigned_url("get_caller_identity", ExpiresIn=_SECONDS, HttpMethod="GET")
    finally:
        sts.meta.events.unregister(event, name_the_function)
    return urllib.parse.urlsplit(url).query


def identify(proof: str, *, function: str, endpoint: str) -> str:
    """ARN of the caller who signed the proof for this function. Raises `NotProven`.

    Only the query is the caller's: the request goes to `endpoint`, our own STS, and can ask for nothing else.
    """
    query = urllib.parse.parse_qsl(proof, keep_blank_values=True)
    if [value for key, value in query if key.lower() == "action"] != ["GetCallerIdentity"]:
        raise NotProven("the proof is no request of GetCallerIdentity")
    url = f"{endpoint.rstrip('/')}/?{urllib.parse.urlencode(query, quote_via=urllib.parse.quote)}"
    request = urllib.request.Request(url, headers={_FOR: function})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            found = _ARN.search(response.read(_MOST_BYTES).decode(errors="replace"))
    except urllib.error.HTTPError as error:
        raise NotProven(
            f"STS refuses the proof with {error.code}: signed for {endpoint}, and for {function}?"
        ) from None
    except OSError as error:
        raise NotProven(f"STS cannot be asked: {error}") from None
    if found is None:
        raise NotProven("STS returned no identity")
    return found[1]


def who(event: Mapping[str, Any], *, sts: Any, function: str) -> str:
    """The caller's ARN, followed by the person for whom it claims to act, unverified. Raises `NotProven`."""
    arn = identify(str(event.get("caller", "")), function=function, endpoint=sts.meta.endpoint_url)
    claim = "".join(filter(str.isprintable, str(event.get("acts_for") or "")))[:_LONGEST_CLAIM]
    return f"{arn} for {claim}" if claim else arn
