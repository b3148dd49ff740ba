"""The media Worker: runs its deployed code and bindings in front of the emulated bucket."""

import json
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx

from config.services import sites
from infra_runtime.contract.cloudflare_workers import MEDIA_SECONDS
from ops import functions
from rehearsal.account import Account
from rehearsal.checks.assertions import require
from simulators.cloudflare import worker

_KEY = "rehearsal/a b.avif"
_PATH = "/rehearsal/a%20b.avif"
_WEEK = 7 * 24 * 3600
# Path of Next.js's static files.
_STATIC = "_next/static/"


def _script(account: Account) -> dict[str, Any]:
    found = [each for name, each in account.cloudflare.world.scripts.items() if name.endswith("-media-origin")]
    require(len(found) == 1, f"{len(found)} Workers for media")
    return found[0]


def _running(account: Account) -> AbstractContextManager[str]:
    """Runs the currently deployed Worker in front of the bucket."""
    script = _script(account)
    bucket = f"https://{worker.bindings_of(script)['BUCKET_HOST']}"
    return worker.deployed(script, upstreams={bucket: account.emulator.url}, cached=script["cache_options"]["enabled"])


def cache(account: Account) -> str:
    with _put(account), _running(account) as url:
        first, second = httpx.get(url + _PATH), httpx.get(url + _PATH)
    states = first.headers.get("cf-cache-status"), second.headers.get("cf-cache-status")
    require(states == ("MISS", "HIT"), f"HTTP {first.status_code}; the cache says {states}")
    kept = second.headers["cache-control"]
    require(kept == f"public, max-age={_WEEK}", f"cache-control: {kept}")
    (edge,) = [each["text"] for each in _script(account)["bindings"] if each["name"] == "EDGE_SECONDS"]
    require(int(edge) == MEDIA_SECONDS, f"{edge} s at the edge")
    return f"{account.environment.domains.media}: {edge} s in Workers Cache, 7 days in browsers"


def ttl(account: Account) -> None:
    (said,) = [json.loads(each["text"]) for each in _script(account)["bindings"] if each["name"] == "TTL_SECONDS"]
    wanted = {f"/{prefix}": seconds for prefix, seconds in account.environment.media.ttl_seconds.items()}
    require(said == wanted, f"the Worker knows {said}")


def origin(account: Account) -> str:
    """The bucket accepts only requests that the Worker has signed."""
    policy = json.loads(account.client("s3").get_bucket_policy(Bucket=account.environment.media.bucket)["Policy"])
    allows = [each["Sid"] for each in policy["Statement"] if each["Effect"] == "Allow"]
    require(not allows, f"the bucket's policy allows {allows}")
    status = account.client("s3").get_public_access_block(Bucket=account.environment.media.bucket)
    require(all(status["PublicAccessBlockConfiguration"].values()), "Block Public Access is not on")
    patterns = {each["pattern"] for each in account.zone.routes.values()}
    wanted = {f"{account.environment.domains.media}/*"}
    wanted |= {f"{each.host}/{_STATIC}*" for each in sites(account.environment).values()}
    require(wanted <= patterns, f"routes {sorted(patterns)}")
    with _put(account), _running(account) as url:
        found, missing, listed = (httpx.get(url + path).status_code for path in (_PATH, "/missing.avif", "/"))
    require((found, missing, listed) == (200, 404, 404), f"an object: {found}, none: {missing}, the list: {listed}")
    return "a Worker that signs each request; the bucket's policy allows no one; Block Public Access 4 of 4"


def rotation(account: Account, secret: str) -> str:
    """Runs Secrets Manager's four steps. After each, the bucket accepts the Worker's key."""
    what = "rotation of the Worker's key"
    function = functions.find(account, account.stack_name("Edge"), "rotate_signing_key", {}, what=what)
    before, version = _key(account), str(uuid.uuid4())
    with _put(account):
        for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
            event = {"SecretId": secret, "ClientRequestToken": version, "Step": step}
            functions.ask(account, function, event, what=what)
            with _running(account) as url:
                require(httpx.get(url + _PATH).status_code == 200, f"media is refused after {step}")
    require(_key(account) != before, "the Worker still has the old key")
    return "four steps, no moment at which the bucket refuses the Worker's key"


def _key(account: Account) -> str:
    (key,) = [each["text"] for each in _script(account)["bindings"] if each["type"] == "secret_text"]
    return str(key)


@contextmanager
def _put(account: Account) -> Iterator[None]:
    where = {"Bucket": account.environment.media.bucket, "Key": _KEY}
    account.client("s3").put_object(**where, Body=b"picture")
    try:
        yield
    finally:
        account.client("s3").delete_object(**where)
