"""The API token, from Secrets Manager at run time."""

import os

from infra_runtime.cloudflare.api import BASE_URL, Api, new_pace
from infra_runtime.contract.secret_values import Secrets
from infra_runtime.vendor_api import BadCredentials

# Shared by all invocations of this process: a warm function must not start each one with a new burst.
_pace = new_pace()


def base_url() -> str:
    """Base URL of the API. Cloudflare's own SDK reads the same variable; rehearsals set it, no template does."""
    return os.environ.get("CLOUDFLARE_BASE_URL", BASE_URL).rstrip("/")


def api_from(secrets: Secrets, identity: str, *, deadline: float) -> Api:
    """Uses the token that the secret holds (docs/cloudflare-token.md). Raises `BadCredentials`."""
    token = secrets.read(identity).strip()
    if not token or not token.isascii() or not token.replace("-", "").replace("_", "").isalnum():
        raise BadCredentials(
            f"the secret {identity} holds no token: letters, digits, - and _ are what a token is made of"
        )
    secrets.known.add(token)
    return Api(token=token, deadline=deadline, base_url=base_url(), pace=_pace, redact=secrets.redact)
