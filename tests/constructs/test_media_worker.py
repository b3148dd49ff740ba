"""The signing Worker's own code, run by Node.js, before an S3 that has botocore check each signature."""

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote, unquote

import httpx
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra_constructs.cloudflare import media_worker
from infra_runtime.contract.cloudflare_workers import MEDIA_SECONDS
from simulators.cloudflare import worker
from simulators.http_server import send, serving

SCRIPT = Path(media_worker.__file__).with_suffix(".mjs")
HOST = "example-media.s3.eu-central-1.amazonaws.com"
KEY = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
DAY = 86400


@dataclass
class Bucket:
    """`objects` by key. Refuses as S3 does what is not signed with the one key."""

    objects: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    secret: str = KEY.secret_key
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def respond(self, handler: BaseHTTPRequestHandler, _: bytes) -> None:
        key = unquote(handler.path).removeprefix("/")
        self.asked.append(key)
        if not self._is_signed(handler):
            return send(handler, 403, b"<Code>SignatureDoesNotMatch</Code>")
        if key == "":
            return send(handler, 200, b"<ListBucketResult/>")
        if key not in self.objects:
            return send(handler, 404, b"<Code>NoSuchKey</Code>")
        etag = f'"{hashlib.md5(self.objects[key], usedforsecurity=False).hexdigest()}"'
        if handler.headers.get("If-None-Match") == etag:
            return send(handler, 304, b"", ETag=etag)
        more = {"Content-Type": "image/avif", **self.headers.get(key, {})}
        return send(handler, 200, self.objects[key], ETag=etag, x_amz_request_id="1", **more)

    def _is_signed(self, handler: BaseHTTPRequestHandler) -> bool:
        """Computed again by botocore, over the headers that the request says are signed."""
        header = handler.headers.get("Authorization", "")
        found = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/s3/aws4_request, SignedHeaders=([\w;-]+), "
            r"Signature=([0-9a-f]{64})",
            header,
        )
        if found is None or found[1] != KEY.access_key:
            return False
        request = AWSRequest(handler.command, f"https://{HOST}{handler.path}")
        for name in found[4].split(";"):
            request.headers[name] = handler.headers[name]
        request.context["timestamp"] = handler.headers["X-Amz-Date"]
        signer = S3SigV4Auth(Credentials(KEY.access_key, self.secret), "s3", found[3])
        canonical = signer.canonical_request(request)
        return bool(signer.signature(signer.string_to_sign(request, canonical), request) == found[5])


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Bucket, str]]:
    bucket = Bucket()
    with serving(bucket.respond) as s3, _worker(s3) as url:
        yield bucket, url


def _worker(
    s3: str,
    *,
    cached: bool = True,
    key: str = f"{KEY.access_key}:{KEY.secret_key}",
    edge_seconds: int = MEDIA_SECONDS,
) -> AbstractContextManager[str]:
    bindings = {
        "BUCKET_HOST": HOST, "REGION": "eu-central-1", "SIGNING_KEY": key, "STATIC_PATH": "/_next/static/",
        "EDGE_SECONDS": str(edge_seconds), "BROWSER_SECONDS": str(7 * DAY), "TTL_SECONDS": '{"/og/": 2}',
        "QUARANTINE_PATH": "/uploads/",
    }  # fmt: skip
    return worker.running(SCRIPT, env=bindings, upstreams={f"https://{HOST}": s3}, cached=cached)


@pytest.fixture
def bucket(running: tuple[Bucket, str]) -> Bucket:
    bucket = running[0]
    bucket.asked.clear()
    return bucket


@pytest.fixture
def url(running: tuple[Bucket, str]) -> str:
    return running[1]


def test_an_object_is_served_from_the_edge_and_for_a_week_from_browsers(bucket: Bucket, url: str) -> None:
    bucket.objects["a/b.avif"] = b"picture"
    first, second = httpx.get(f"{url}/a/b.avif"), httpx.get(f"{url}/a/b.avif")
    assert (first.status_code, first.content, first.headers["content-type"]) == (200, b"picture", "image/avif")
    assert (first.headers["cf-cache-status"], second.headers["cf-cache-status"]) == ("MISS", "HIT")
    assert bucket.asked == ["a/b.avif"], "the second is answered without S3"
    assert second.headers["cache-control"] == f"public, max-age={7 * DAY}"
    assert not [name for name in second.headers if name.startswith(("x-amz", "cloudflare"))]


def test_what_was_deleted_or_replaced_leaves_the_edge_when_its_time_is_over() -> None:
    """No purge reaches Workers Cache. What is unchanged stays in it: S3 sends no body."""
    bucket, names = Bucket(), ("kept", "replaced", "deleted")
    bucket.objects |= dict.fromkeys(names, b"picture")
    with serving(bucket.respond) as s3, _worker(s3, edge_seconds=1) as url:

        def served() -> dict[str, tuple[int, bytes, str]]:
            found = {name: httpx.get(f"{url}/{name}") for name in names}
            return {
                name: (each.status_code, each.content, each.headers["cf-cache-status"]) for name, each in found.items()
            }

        assert set(served().values()) == {(200, b"picture", "MISS")}
        bucket.objects["replaced"] = b"other"
        del bucket.objects["deleted"]
        assert set(served().values()) == {(200, b"picture", "HIT")}
        time.sleep(1.1)
        assert served() == {
            "kept": (200, b"picture", "REVALIDATED"),
            "replaced": (200, b"other", "MISS"),
            "deleted": (404, b"not found", "MISS"),
        }


def test_an_object_below_a_prefix_with_its_own_time_is_asked_for_again_when_it_is_over(
    bucket: Bucket, url: str
) -> None:
    bucket.objects["og/a.png"] = b"preview"
    states = [httpx.get(f"{url}/og/a.png").headers["cf-cache-status"] for _ in range(2)]
    assert states == ["MISS", "HIT"]
    assert httpx.get(f"{url}/og/a.png").headers["cache-control"] == "public, max-age=2"
    time.sleep(2.1)
    assert httpx.get(f"{url}/og/a.png").headers["cf-cache-status"] == "REVALIDATED"


@pytest.mark.parametrize("path", ["uploads/a.avif", "%75ploads/a.avif"])
def test_a_quarantine_looks_empty_and_s3_is_not_asked(path: str, bucket: Bucket, url: str) -> None:
    bucket.objects["uploads/a.avif"] = b"not scanned yet"
    assert httpx.get(f"{url}/{path}").status_code == 404
    assert bucket.asked == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_every_key_is_signed_as_s3_reads_it(bucket: Bucket, url: str, key: str) -> None:
    parts = key.split("/")
    # A browser resolves these before it asks.
    if any(part in {"", ".", ".."} for part in parts):
        return
    bucket.objects[key] = key.encode()
    for encoded in {quote(key), quote(key, safe="/!'()*+,;:@&=$~")}:
        answer = httpx.get(f"{url}/{encoded}")
        assert (answer.status_code, answer.content) == (200, key.encode()), encoded


def test_a_head_is_answered_although_s3_is_asked_by_get(bucket: Bucket, url: str) -> None:
    bucket.objects["head.avif"] = b"picture"
    answer = httpx.head(f"{url}/head.avif")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"]


def test_a_query_string_never_reaches_s3(bucket: Bucket, url: str) -> None:
    answer = httpx.get(f"{url}/a/b.avif?x=1")
    assert (answer.status_code, answer.headers["location"]) == (301, "/a/b.avif")
    assert bucket.asked == []


@pytest.mark.parametrize("path", ["/", "/?list-type=2", "//"])
def test_the_list_of_all_objects_stays_private(bucket: Bucket, url: str, path: str) -> None:
    answer = httpx.get(f"{url}{path}", follow_redirects=True)
    assert answer.status_code >= 400
    assert b"ListBucketResult" not in answer.content


def test_writes_are_refused(bucket: Bucket, url: str) -> None:
    for method in ("PUT", "POST", "DELETE", "PATCH", "OPTIONS"):
        assert httpx.request(method, f"{url}/a/b.avif").status_code == 405
    assert bucket.asked == []


def test_a_missing_object_is_a_404_that_is_cached_briefly(bucket: Bucket, url: str) -> None:
    answer = httpx.get(f"{url}/missing.avif")
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "public, max-age=30")


def test_a_refused_key_is_our_failure_and_is_not_kept(bucket: Bucket, url: str) -> None:
    bucket.objects["later.avif"] = b"picture"
    bucket.secret = "another"
    try:
        answer = httpx.get(f"{url}/later.avif")
    finally:
        bucket.secret = KEY.secret_key
    assert (answer.status_code, answer.headers["cache-control"]) == (502, "no-store")
    assert httpx.get(f"{url}/later.avif").status_code == 200


def test_the_sites_static_files_keep_their_own_lifetime(bucket: Bucket, url: str) -> None:
    immutable = "public, max-age=31536000, immutable"
    bucket.objects["_next/static/a.js"] = b"code"
    bucket.headers["_next/static/a.js"] = {"Cache-Control": immutable}
    assert httpx.get(f"{url}/_next/static/a.js").headers["cache-control"] == immutable


def test_an_unchanged_object_is_not_sent_again(bucket: Bucket) -> None:
    bucket.objects["same.avif"] = b"picture"
    with serving(bucket.respond) as s3, _worker(s3, cached=False) as url:
        etag = httpx.get(f"{url}/same.avif").headers["etag"]
        answer = httpx.get(f"{url}/same.avif", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content) == (304, b"")
