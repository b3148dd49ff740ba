"""`infra restore objects`: media as it was at a time, from the versions that S3 keeps.

S3 restores nothing by itself. What was current at a time is found in the list of versions, and is made current again:
by removing the delete marker above it, or by a copy on top. No version is overwritten or deleted.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any
from urllib.parse import urlencode

from botocore.exceptions import ClientError
from rich.table import Table

from config.model import Environment
from ops.console import Console
from ops.errors import OperatorError
from ops.functions import Clients

# CopyObject's maximum (S3 API reference, "CopyObject").
_LARGEST_COPY = 5 * 1024**3
_PART = 512 * 1024**2
_AT_ONCE = 10
_EXAMPLES = 5
_NULL = "null"
"""Version id of what was written while the bucket kept no versions (S3 guide, "Retaining multiple versions")."""
_ARCHIVED = {"GLACIER", "DEEP_ARCHIVE"}
_COPY_OF = "infra-copy-of"
"""User metadata of a copy, with the version id of its source. ETags do not tell: those of objects in parts, or under a
key of KMS, are no digests (S3 API reference, "Object")."""
_KEPT = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires",
    "StorageClass", "WebsiteRedirectLocation",
)  # fmt: skip
# The object was replaced or deleted since it was listed (S3 guide, "Conditional writes").
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409", "404"}


@dataclass(frozen=True)
class Version:
    """One of an object's versions, or a delete marker."""

    id: str
    at: datetime
    """The second in which it was written; of an upload in parts, in which that began."""
    is_latest: bool
    is_marker: bool = False
    etag: str = ""
    bytes: int = 0
    storage: str = ""


@dataclass(frozen=True)
class Undelete:
    key: str
    markers: Sequence[Version]


@dataclass(frozen=True)
class Copy:
    """A copy of an older version, on top of the current one."""

    key: str
    version: Version
    current: Version


@dataclass
class RestorePlan:
    undelete: list[Undelete]
    copy: list[Copy]
    archived: list[str]
    """Keys of what S3 would have to bring back from an archive first."""
    unchanged: int = 0
    newer: int = 0
    """Objects that were not there at that time. They stay."""

    @property
    def is_empty(self) -> bool:
        return not (self.undelete or self.copy or self.archived)


@dataclass(frozen=True)
class MediaBucket:
    environment: Environment
    clients: Clients
    largest_copy: int = _LARGEST_COPY
    """Bytes that one call copies; more is copied in parts."""
    part: int = _PART

    @property
    def bucket(self) -> str:
        return self.environment.media.bucket

    @cached_property
    def s3(self) -> Any:
        return self.clients.client("s3")


def restore(
    media: MediaBucket, prefix: str, to: datetime, console: Console, *, now: datetime, is_confirmed: bool
) -> None:
    """What was there at the end of the second `to`. May be repeated. Raises `OperatorError`."""
    _refuse_what_no_version_can_give(media, prefix, to, now)
    plan = _plan(media, prefix, to)
    _print(plan, prefix, to, console)
    if plan.is_empty:
        console.print("Nothing to restore.")
        return
    if not is_confirmed:
        console.print("Nothing was changed. With --yes, the same command restores them.")
        return
    changed = _carry_out(media, plan)
    left = _plan(media, prefix, to)
    if left.undelete or left.copy:
        raise OperatorError(
            f"{len(left.undelete) + len(left.copy)} objects are not as they were at {_timestamp(to)}; {changed} were"
            " replaced by others meanwhile and left alone. Run the same command again"
        )
    if left.archived:
        raise OperatorError(f"{len(left.archived)} objects are in an archive: restore them in S3 first, then run again")
    console.print(f"Restored and read back: {len(plan.undelete) + len(plan.copy)} objects.")
    console.print("Cloudflare's cache is purged by S3's events: docs/runbooks/media-purge.md")


# -- How far back S3's versions reach


def _refuse_what_no_version_can_give(media: MediaBucket, prefix: str, to: datetime, now: datetime) -> None:
    status = media.s3.get_bucket_versioning(Bucket=media.bucket).get("Status", "off")
    if status != "Enabled":
        raise OperatorError(f"{media.bucket}: versioning is {status}, so S3 has no older versions to restore")
    days = _kept_days(media, prefix)
    if days is not None and to < (earliest := now - timedelta(days=days)):
        raise OperatorError(
            f"{media.bucket} keeps a replaced or deleted version for {days} days: objects can be restored to times from"
            f" {_timestamp(earliest)} on"
        )


def _kept_days(media: MediaBucket, prefix: str) -> int | None:
    """Days that every noncurrent version under the prefix is kept for; None without an end."""
    try:
        rules = media.s3.get_bucket_lifecycle_configuration(Bucket=media.bucket)["Rules"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
            raise
        return None
    days = [
        each["NoncurrentVersionExpiration"]["NoncurrentDays"]
        for each in rules
        if each["Status"] == "Enabled"
        and "NoncurrentDays" in each.get("NoncurrentVersionExpiration", {})
        and _overlap(_prefix_of(each), prefix)
    ]
    return min(days, default=None)


def _prefix_of(rule: Mapping[str, Any]) -> str:
    chosen = rule.get("Filter", {})
    return str(rule.get("Prefix") or chosen.get("Prefix") or chosen.get("And", {}).get("Prefix") or "")


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


# -- What was there


def _plan(media: MediaBucket, prefix: str, to: datetime) -> RestorePlan:
    plan, unversioned = RestorePlan([], [], []), list[tuple[datetime, str]]()
    for key, history in _histories(media, prefix):
        _add(plan, media, key, history, to)
        unversioned += [(each.at, key) for each in history if each.id == _NULL and each.at > to]
    if unversioned:
        at, key = max(unversioned)
        raise OperatorError(
            f"{media.bucket} kept no versions yet when {key} was written: objects under {prefix!r} can be restored to"
            f" times from {_timestamp(at)} on"
        )
    return plan


def _add(plan: RestorePlan, media: MediaBucket, key: str, history: Sequence[Version], to: datetime) -> None:
    current = history[0]
    wanted = next((each for each in history if each.at <= to), None)
    if wanted is None or wanted.is_marker:
        plan.newer += not current.is_marker
    elif wanted is current or _is_same(media, key, wanted, current):
        plan.unchanged += 1
    elif current.is_marker and wanted is next(each for each in history if not each.is_marker):
        plan.undelete.append(Undelete(key, history[: history.index(wanted)]))
    elif wanted.storage in _ARCHIVED:
        plan.archived.append(key)
    else:
        plan.copy.append(Copy(key, wanted, current))


def _is_same(media: MediaBucket, key: str, wanted: Version, current: Version) -> bool:
    """The same bytes, or the copy that an earlier run has made."""
    if current.is_marker or current.bytes != wanted.bytes:
        return False
    if current.etag == wanted.etag:
        return True
    found = media.s3.head_object(Bucket=media.bucket, Key=key, VersionId=current.id)
    return bool(found["Metadata"].get(_COPY_OF) == wanted.id)


def _histories(media: MediaBucket, prefix: str) -> Iterator[tuple[str, list[Version]]]:
    """Versions of each key, the newest first. A key's versions may go on in the next page; keys are in order."""
    pages = media.s3.get_paginator("list_object_versions").paginate(Bucket=media.bucket, Prefix=prefix)
    key: str | None = None
    versions, markers = list[Version](), list[Version]()
    for page in pages:
        found = [(each, False) for each in page.get("Versions", [])]
        found += [(each, True) for each in page.get("DeleteMarkers", [])]
        for each, is_marker in sorted(found, key=lambda entry: entry[0]["Key"].encode()):
            if each["Key"] != key:
                if key is not None:
                    yield key, _in_order(versions, markers)
                key, versions, markers = each["Key"], [], []
            (markers if is_marker else versions).append(_version(each, is_marker=is_marker))
    if key is not None:
        yield key, _in_order(versions, markers)


def _version(listed: Mapping[str, Any], *, is_marker: bool) -> Version:
    return Version(
        id=listed["VersionId"],
        at=listed["LastModified"].astimezone(UTC).replace(microsecond=0),
        is_latest=listed["IsLatest"],
        is_marker=is_marker,
        etag=listed.get("ETag", ""),
        bytes=listed.get("Size", 0),
        storage=listed.get("StorageClass", ""),
    )


def _in_order(versions: list[Version], markers: list[Version]) -> list[Version]:
    """Both are in S3's order already. Within one second, an object counts as younger than a marker: people notice an
    object that comes back although it was deleted, but not one that stays lost.
    """
    found = []
    while versions and markers:
        is_marker_next = markers[0].is_latest or (not versions[0].is_latest and markers[0].at > versions[0].at)
        found.append((markers if is_marker_next else versions).pop(0))
    return [*found, *versions, *markers]


# -- Making it current


def _carry_out(media: MediaBucket, plan: RestorePlan) -> int:
    """How many objects were changed by others meanwhile, and were left alone."""
    with ThreadPoolExecutor(_AT_ONCE) as several:
        for _ in several.map(partial(_undelete, media), plan.undelete):
            pass
        return sum(not was_copied for was_copied in several.map(partial(_copy, media), plan.copy))


def _undelete(media: MediaBucket, what: Undelete) -> None:
    # The lowest first: after an interruption the object is still deleted, and the next run finds the rest.
    for marker in reversed(what.markers):
        media.s3.delete_object(Bucket=media.bucket, Key=what.key, VersionId=marker.id)


def _copy(media: MediaBucket, what: Copy) -> bool:
    """Unless the object was changed since it was listed."""
    source = {"Bucket": media.bucket, "Key": what.key, "VersionId": what.version.id}
    head = media.s3.head_object(**source)
    described = {name: head[name] for name in _KEPT if head.get(name)}
    described["Metadata"] = {**head["Metadata"], _COPY_OF: what.version.id}
    condition = {"IfNoneMatch": "*"} if what.current.is_marker else {"IfMatch": what.current.etag}
    try:
        if what.version.bytes > media.largest_copy:
            _copy_in_parts(media, what, source, described, condition)
        else:
            media.s3.copy_object(
                Bucket=media.bucket,
                Key=what.key,
                CopySource=source,
                MetadataDirective="REPLACE",
                TaggingDirective="COPY",
                **described,
                **condition,
            )
    except ClientError as error:
        if error.response["Error"]["Code"] not in _CHANGED:
            raise
        return False
    return True


def _copy_in_parts(
    media: MediaBucket,
    what: Copy,
    source: Mapping[str, str],
    described: Mapping[str, Any],
    condition: Mapping[str, str],
) -> None:
    target = {"Bucket": media.bucket, "Key": what.key}
    tags = {each["Key"]: each["Value"] for each in media.s3.get_object_tagging(**source)["TagSet"]}
    begun = media.s3.create_multipart_upload(**target, **described, **({"Tagging": urlencode(tags)} if tags else {}))
    upload = {**target, "UploadId": begun["UploadId"]}
    try:
        parts = []
        for number, start in enumerate(range(0, what.version.bytes, media.part), 1):
            end = min(start + media.part, what.version.bytes) - 1
            copied = media.s3.upload_part_copy(
                **upload, PartNumber=number, CopySource=source, CopySourceRange=f"bytes={start}-{end}"
            )
            parts.append({"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]})
        media.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **condition)
    except BaseException:
        media.s3.abort_multipart_upload(**upload)
        raise


# -- Telling


def _print(plan: RestorePlan, prefix: str, to: datetime, console: Console) -> None:
    table = Table(f"under {prefix!r}, at {_timestamp(to)}", "objects", "for example")
    size = sum(each.version.bytes for each in plan.copy)
    deleted, replaced = [each.key for each in plan.undelete], [each.key for each in plan.copy]
    for what, keys in (
        ("deleted since: the delete marker is removed", deleted),
        (f"replaced since: {size / 1024**2:.1f} MiB are copied on top", replaced),
        ("archived: restore these in S3 first", plan.archived),
    ):
        table.add_row(what, str(len(keys)), ", ".join(keys[:_EXAMPLES]))
    table.add_row("as they were", str(plan.unchanged), "")
    table.add_row("newer: they stay", str(plan.newer), "")
    console.print(table)


def _timestamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
