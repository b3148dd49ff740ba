"""`infra restore objects` against the emulated S3, by a person who may do what the runbook says, and nothing else."""

import hashlib
import io
import json
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest

from config import load
from ops.console import Console
from ops.errors import OperatorError
from ops.restores import objects
from ops.restores.objects import MediaBucket
from simulators.aws.conditions import Condition
from simulators.aws.process import emulator
from simulators.redis.authority import Authority

RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "runbooks" / "media-restore.md"
# S3's smallest part, but for the last.
PART = 5 * 1024**2
KEYS = 400


class Clients:
    """Clients with one person's credentials, whose policy may deny calls."""

    def __init__(self, url: str, *keys: str) -> None:
        self._url, (self._key, self._secret) = url, keys or ("111122223333", "test")
        self._made: dict[str, Any] = {}

    def client(self, service: str, /) -> Any:
        if service not in self._made:
            self._made[service] = boto3.client(
                service, endpoint_url=self._url, region_name="eu-central-1", aws_access_key_id=self._key,
                aws_secret_access_key=self._secret,
            )  # fmt: skip
        return self._made[service]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    nowhere, folder = "http://127.0.0.1:9", tmp_path_factory.mktemp("emulator")
    without = (Condition.PAGINATION, Condition.THROTTLING)
    with emulator(folder, cloudflare=nowhere, upstash=nowhere, authority=Authority(), without=without) as running:
        yield running.url


@pytest.fixture(scope="module")
def root(url: str) -> Any:
    return Clients(url).client("s3")


@pytest.fixture(scope="module")
def media(url: str, root: Any) -> MediaBucket:
    environment = load(["dev"])["dev"]
    bucket = environment.media.bucket
    root.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    root.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    iam = Clients(url).client("iam")
    iam.create_user(UserName="person")
    allowed = {"Effect": "Allow", "Action": sorted(set(re.findall(r"`(s3:\w+)`", RUNBOOK.read_text())))}
    policy = {
        "Version": "2012-10-17",
        "Statement": {**allowed, "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]},
    }
    iam.put_user_policy(UserName="person", PolicyName="runbook", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName="person")["AccessKey"]
    return MediaBucket(environment, Clients(url, made["AccessKeyId"], made["SecretAccessKey"]))


def pause() -> datetime:
    """A second that what was written before it has ended in, and in which nothing is written afterwards."""
    end = datetime.now(UTC).replace(microsecond=0)
    time.sleep((end + timedelta(seconds=1.05) - datetime.now(UTC)).total_seconds())
    return end


def restore(media: MediaBucket, prefix: str, to: datetime, *, now: datetime | None = None, yes: bool = True) -> str:
    output = io.StringIO()
    objects.restore(media, prefix, to, Console(file=output, width=300), now=now or datetime.now(UTC), is_confirmed=yes)
    return output.getvalue()


def versions(root: Any, media: MediaBucket, prefix: str) -> list[tuple[str, str]]:
    pages = root.get_paginator("list_object_versions").paginate(Bucket=media.bucket, Prefix=prefix)
    return [
        (each["Key"], each["VersionId"])
        for page in pages
        for each in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    ]


def contents(root: Any, media: MediaBucket, prefix: str) -> Mapping[str, str]:
    """The digest of each object."""
    pages = root.get_paginator("list_objects_v2").paginate(Bucket=media.bucket, Prefix=prefix)
    return {each["Key"]: each["ETag"] for page in pages for each in page.get("Contents", [])}


def delete(root: Any, media: MediaBucket, keys: list[str]) -> None:
    root.delete_objects(Bucket=media.bucket, Delete={"Objects": [{"Key": key} for key in keys]})


def digest(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'  # noqa: S324


def test_a_thousand_versions_are_as_they_were_and_nothing_is_lost(media: MediaBucket, root: Any) -> None:
    """Covers objects that were deleted, replaced, both, deleted earlier, untouched and new, in several pages."""
    put = partial(root.put_object, Bucket=media.bucket)
    keys = [f"many/{number:04}" for number in range(KEYS)]
    with ThreadPoolExecutor(4) as several:
        list(several.map(lambda key: put(Key=key, Body=b"first"), keys))
        list(several.map(lambda key: put(Key=key, Body=f"good {key}".encode()), keys))
        delete(root, media, keys[:20])
        to = pause()
        was = contents(root, media, "many/")
        put(Key="many/new", Body=b"new")
        delete(root, media, keys[20:150])
        list(several.map(lambda key: put(Key=key, Body=b"wrong"), keys[100:200]))
        delete(root, media, keys[100:120])
    before = versions(root, media, "many/")
    assert len(before) > 1000
    output = restore(media, "many/", to, yes=False)
    assert "Nothing was changed. With --yes" in output
    assert versions(root, media, "many/") == before
    output = restore(media, "many/", to)
    assert "Restored and read back: 180 objects" in output
    assert contents(root, media, "many/") == {**was, "many/new": digest(b"new")}
    gone = set(before) - set(versions(root, media, "many/"))
    # Delete markers, and no version of an object.
    assert {key for key, _ in gone} == set(keys[20:100])
    after = versions(root, media, "many/")
    assert "Nothing to restore" in restore(media, "many/", to)
    assert versions(root, media, "many/") == after


def test_headers_metadata_and_tags_come_back_with_an_object(media: MediaBucket, root: Any) -> None:
    put = partial(root.put_object, Bucket=media.bucket, Key="described")
    put(Body=b"one", ContentType="image/avif", CacheControl="no-cache", Metadata={"by": "ali"}, Tagging="a=b")
    to = pause()
    put(Body=b"two", ContentType="text/html")
    restore(media, "described", to)
    found = root.get_object(Bucket=media.bucket, Key="described")
    assert (found["Body"].read(), found["ContentType"], found["CacheControl"]) == (b"one", "image/avif", "no-cache")
    assert found["Metadata"]["by"] == "ali"
    tags = root.get_object_tagging(Bucket=media.bucket, Key="described")["TagSet"]
    assert tags == [{"Key": "a", "Value": "b"}]


@pytest.mark.parametrize("largest", [PART, 5 * 1024**3], ids=["copied in parts", "copied at once"])
def test_an_object_that_was_uploaded_in_parts_is_copied_once(largest: int, media: MediaBucket, root: Any) -> None:
    """Its ETag is no digest, so that it is another one on the copy."""
    key = {"Bucket": media.bucket, "Key": f"large/{largest}"}
    upload = {
        **key,
        "UploadId": root.create_multipart_upload(**key, ContentType="video/mp4", Tagging="a=b%26")["UploadId"],
    }
    bodies = [b"a" * PART, b"b" * PART, b"c" * 1000]
    parts = [
        {"PartNumber": number, "ETag": root.upload_part(**upload, PartNumber=number, Body=body)["ETag"]}
        for number, body in enumerate(bodies, 1)
    ]
    root.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    to = pause()
    root.put_object(**key, Body=b"wrong")
    limited = replace(media, largest_copy=largest, part=PART)
    assert "1 objects" in restore(limited, key["Key"], to)
    found = root.get_object(**key)
    assert (found["Body"].read(), found["ContentType"]) == (b"".join(bodies), "video/mp4")
    assert root.get_object_tagging(**key)["TagSet"] == [{"Key": "a", "Value": "b&"}]
    was = versions(root, media, key["Key"])
    assert "Nothing to restore" in restore(limited, key["Key"], to)
    assert versions(root, media, key["Key"]) == was
    assert "Uploads" not in root.list_multipart_uploads(Bucket=media.bucket)


def test_an_upload_during_a_restore_stays_on_top(media: MediaBucket, root: Any) -> None:
    put = partial(root.put_object, Bucket=media.bucket)
    put(Key="race/replaced", Body=b"old")
    put(Key="race/deleted", Body=b"old")
    to = pause()
    put(Key="race/replaced", Body=b"wrong")
    put(Key="race/deleted", Body=b"wrong")
    root.delete_object(Bucket=media.bucket, Key="race/deleted")

    class Late:
        """Another client uploads between the list and the copy."""

        def client(self, service: str, /) -> Any:
            class S3:
                def __getattr__(self, name: str) -> Any:
                    return getattr(media.s3, name)

                def copy_object(self, **given: Any) -> Any:
                    put(Key=given["Key"], Body=b"of a user")
                    return media.s3.copy_object(**given)

            return S3()

    with pytest.raises(
        OperatorError, match=r"2 objects are not as they were at .*; 2 were replaced by others meanwhile"
    ):
        restore(replace(media, clients=Late()), "race/", to)
    assert set(contents(root, media, "race/").values()) == {digest(b"of a user")}


def test_a_time_before_the_versions_that_are_kept_is_refused_with_the_date(media: MediaBucket, root: Any) -> None:
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    rules = [
        {
            "ID": prefix,
            "Status": "Enabled",
            "Filter": {"Prefix": prefix},
            "NoncurrentVersionExpiration": {"NoncurrentDays": days},
        }
        for prefix, days in (("", 90), ("temporary/", 1))
    ]
    root.put_bucket_lifecycle_configuration(Bucket=media.bucket, LifecycleConfiguration={"Rules": rules})
    try:
        with pytest.raises(
            OperatorError, match="for 90 days: objects can be restored to times from 2026-08-28T12:00:00Z"
        ):
            restore(media, "kept/", now - timedelta(days=90, seconds=1), now=now)
        assert "Nothing to restore" in restore(media, "kept/", now - timedelta(days=90), now=now)
        for prefix in ("temporary/a", "temp", ""):
            with pytest.raises(OperatorError, match=r"for 1 days: .* from 2026-11-25T12:00:00Z on"):
                restore(media, prefix, now - timedelta(days=2), now=now)
    finally:
        root.delete_bucket_lifecycle(Bucket=media.bucket)


def test_a_time_from_which_the_bucket_kept_no_versions_is_refused_with_the_date(media: MediaBucket, root: Any) -> None:
    root.put_bucket_versioning(Bucket=media.bucket, VersioningConfiguration={"Status": "Suspended"})
    to = pause()
    try:
        root.put_object(Bucket=media.bucket, Key="unversioned/one", Body=b"nobody knows what was here before")
        with pytest.raises(OperatorError, match="versioning is Suspended"):
            restore(media, "unversioned/", to)
    finally:
        root.put_bucket_versioning(Bucket=media.bucket, VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(
        OperatorError, match=r"kept no versions yet when unversioned/one was written: .* from 20\S+Z on"
    ):
        restore(media, "unversioned/", to)
    since = pause()
    root.put_object(Bucket=media.bucket, Key="unversioned/one", Body=b"wrong")
    restore(media, "unversioned/", since)
    assert list(contents(root, media, "unversioned/").values()) == [digest(b"nobody knows what was here before")]
