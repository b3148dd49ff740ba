"""S3's versions as S3 lists and copies them.

- Times in a list of versions are whole seconds (S3 API reference, "ListObjectVersions").
- A copy may ask for what is at its target: If-Match and If-None-Match (S3 API reference, "CopyObject"; S3 guide,
  "Conditional writes").
- A copy by one call has another ETag than an object that was uploaded in parts, and no more than 5 GiB (S3 API
  reference, "Object" and "CopyObject").
- An upload in parts may give the object tags (S3 API reference, "CreateMultipartUpload"), and dates it from its
  beginning (S3 guide, "Working with object metadata", Last-Modified).
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from ministack.services import s3

_LARGEST = 5 * 1024**3
_FRACTION = re.compile(rb"(<LastModified>[^<.]+)\.\d+Z")


def install() -> None:
    own_list, own_copy = s3._list_object_versions, s3._copy_object

    def list_versions(bucket: str, query: dict[str, Any]) -> Any:
        status, headers, document = own_list(bucket, query)
        return status, headers, _FRACTION.sub(rb"\1.000Z", document)

    def copy(bucket: str, key: str, headers: dict[str, str]) -> Any:
        objects = (s3._ensure_bucket(bucket) or {"objects": {}})["objects"]
        if refused := s3._check_put_preconditions(headers, objects.get(key)):
            return refused
        if _size_of_source(headers) > _LARGEST:
            return s3._error(
                "InvalidRequest",
                "The specified copy source is larger than the maximum allowable size for a copy source:"
                f" {_LARGEST}",
                400,
            )  # fmt: skip
        answer = own_copy(bucket, key, headers)
        if answer[0] != 200 or "-" not in objects[key]["etag"]:
            return answer
        return answer[0], answer[1], _with_digest(bucket, key, objects[key], answer[2])

    s3._list_object_versions, s3._copy_object = list_versions, copy
    _install_parts()


def _install_parts() -> None:
    own_create, own_complete = s3._create_multipart_upload, s3._complete_multipart_upload
    tags: dict[str, dict[str, str]] = {}

    def create(bucket: str, key: str, headers: dict[str, str]) -> Any:
        answer = own_create(bucket, key, headers)
        if answer[0] == 200 and (given := headers.get("x-amz-tagging")):
            tags[ElementTree.fromstring(answer[2]).findtext("{*}UploadId", "")] = dict(parse_qsl(given))  # noqa: S314
        return answer

    def complete(bucket: str, key: str, body: bytes, query: dict[str, Any], headers: dict[str, str]) -> Any:
        upload = s3._qp(query, "uploadId")
        begun = s3._multipart_uploads.get(upload, {}).get("created")
        answer = own_complete(bucket, key, body, query, headers)
        if answer[0] == 200 and begun is not None:
            made = s3._buckets[bucket]["objects"][key]
            for each in (made, *_with_id(bucket, key, made)):
                each["last_modified"] = begun
            if given := tags.pop(upload, None):
                s3._object_tags[(bucket, key, made.get("version_id"))] = given
        return answer

    s3._create_multipart_upload, s3._complete_multipart_upload = create, complete


def _with_id(bucket: str, key: str, made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """MiniStack's second record of an object that was just written."""
    found = s3._object_versions.get((bucket, key), [])
    return [each for each in found if each["version_id"] == made.get("version_id")]


def _size_of_source(headers: Mapping[str, str]) -> int:
    path, _, query = headers.get("x-amz-copy-source", "").lstrip("/").partition("?")
    bucket, _, key = s3.url_unquote(path).partition("/")
    version = query.removeprefix("versionId=")
    for each in s3._object_versions.get((bucket, key), []):
        if each["version_id"] == version:
            return int(each.get("size", 0))
    found = (s3._ensure_bucket(bucket) or {"objects": {}})["objects"].get(key, {})
    return int(found.get("size", 0))


def _with_digest(bucket: str, key: str, made: dict[str, Any], document: bytes) -> bytes:
    """The ETag of an object in one piece, everywhere where MiniStack has that of its source."""
    old, new = made["etag"], f'"{hashlib.md5(s3._read_body(bucket, key, made)).hexdigest()}"'  # noqa: S324
    for each in (made, *_with_id(bucket, key, made)):
        each["etag"] = new
    return document.replace(old.strip('"').encode(), new.strip('"').encode())
