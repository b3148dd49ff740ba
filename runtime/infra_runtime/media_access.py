"""Custom resource and schedule: who may read the media bucket, the only writer of its policy; which sites' pages may
upload to it; and that its changes are announced.

Statements of ours have ids of ours; others', in a bucket that was there before us, stay as they are. Readers come from
Cloudflare's addresses *and* know the secret user agent that our zone sets: all four Block Public Access flags stay on.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

from botocore.exceptions import ClientError

from infra_runtime.aws import client
from infra_runtime.cloudflare_ranges import KEY
from infra_runtime.custom_resource import Request, Result, serve
from infra_runtime.reporting import reported
from infra_runtime.state_store import SsmStateStore, StateStore

_PREFIX = "Infra"
_CORS = f"{_PREFIX}Sites"
# After a rotation, until all of Cloudflare's servers send the new value.
_OVERLAP = timedelta(hours=1)
_ROUNDS = 5
_BYTES = 24


class SecretKeepsChanging(Exception):
    """The secret kept changing while the policy was written."""


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    """Handles CloudFormation's requests, and EventBridge's schedule, whose event has the same properties."""
    access = Access(
        client("s3"),
        client("secretsmanager"),
        SsmStateStore(client("ssm"), os.environ["STATE_STORE"]),
        datetime.now(UTC),
        Quarantine.of(os.environ),
    )
    if "RequestType" in event:
        serve(event, lambda request: provide(request, access))
    else:
        converge(event["Bucket"], event.get("Secret"), access)


@dataclass(frozen=True)
class Quarantine:
    """Uploads that only the roles that scan and move them may read."""

    prefix: str
    roles: str
    """ARNs, with wildcards."""

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> "Quarantine | None":
        """Reads it from a function's variables: each writer of the policy has to know it."""
        return cls(**json.loads(variables["QUARANTINE"])) if "QUARANTINE" in variables else None


@dataclass(frozen=True)
class Access:
    s3: Any
    secrets_manager: Any
    store: StateStore
    now: datetime
    quarantine: Quarantine | None = None


def provide(request: Request, access: Access) -> Result:
    """On Delete, removes all access; empties the bucket if it may be deleted."""
    bucket, secret = request.properties["Bucket"], request.properties.get("Secret")
    if request.kind != "Delete":
        if secret:
            _forget_access_key(secret, access)
        converge(bucket, secret, access)
        _announce_changes(bucket, access.s3)
        _let_browsers_upload(bucket, json.loads(request.properties["Sites"]), access.s3)
        for id_, prefix in json.loads(request.properties.get("RequestMetrics", "{}")).items():
            only = {"Filter": {"Prefix": prefix}} if prefix else {}
            access.s3.put_bucket_metrics_configuration(Bucket=bucket, Id=id_, MetricsConfiguration={"Id": id_, **only})
        return Result(bucket)
    try:
        _write(bucket, [*_statements(bucket), *_foreign(_read(bucket, access.s3))], access.s3)
        _let_browsers_upload(bucket, [], access.s3)
        if request.properties["Disposable"] == "true":
            _empty(bucket, access.s3)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
    return Result(str(request.physical_id))


def _announce_changes(bucket: str, s3: Any) -> None:
    """Sends events to EventBridge and keeps others' notifications: one of our own could overlap with theirs."""
    found = s3.get_bucket_notification_configuration(Bucket=bucket)
    wanted = {key: value for key, value in found.items() if key.endswith(("Configuration", "Configurations"))}
    if "EventBridgeConfiguration" not in wanted:
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={**wanted, "EventBridgeConfiguration": {}}
        )


def _let_browsers_upload(bucket: str, sites: list[str], s3: Any) -> None:
    """Allows uploads from pages of our sites, with requests that the API has signed; without sites, from none.

    S3 applies the first rule that matches, so ours comes before others'.
    """
    try:
        found = s3.get_bucket_cors(Bucket=bucket)["CORSRules"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchCORSConfiguration":
            raise
        found = []
    ours = {
        "ID": _CORS,
        "AllowedOrigins": [f"https://{site}" for site in sites],
        "AllowedMethods": ["GET", "HEAD", "POST", "PUT"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 3600,
    }
    wanted = [*([ours] if sites else []), *(each for each in found if each.get("ID") != _CORS)]
    if wanted and wanted != found:
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": wanted})
    elif found and not wanted:
        s3.delete_bucket_cors(Bucket=bucket)


def _forget_access_key(secret: str, access: Access) -> None:
    """The secret holds a Worker's key ("ID:SECRET"): makes a user agent instead, as a key must not be in a header."""
    if ":" in access.secrets_manager.get_secret_value(SecretId=secret)["SecretString"]:
        access.secrets_manager.put_secret_value(SecretId=secret, SecretString=token_hex(_BYTES))


def converge(bucket: str, secret: str | None, access: Access) -> None:
    """Writes only what differs, and reads the secret again afterwards: it may have been rotated meanwhile.

    Without a secret, anonymous reads are refused: our Worker signs its requests.
    """
    for _ in range(_ROUNDS):
        agents = accepted_user_agents(secret, access) if secret else []
        ranges = sorted(access.store.get(KEY) or {})
        found = _read(bucket, access.s3)
        wanted = [*_statements(bucket, agents, ranges), *_unread(bucket, access.quarantine), *_foreign(found)]
        if found == wanted:
            return
        _write(bucket, wanted, access.s3)
    raise SecretKeepsChanging(bucket)


def _versions(manager: Any, secret: str) -> Iterator[Mapping[str, Any]]:
    """boto3 has no paginator for this one."""
    page: dict[str, str] = {}
    while True:
        listed = manager.list_secret_version_ids(SecretId=secret, **page)
        yield from listed["Versions"]
        if "NextToken" not in listed:
            return
        page["NextToken"] = listed["NextToken"]


def accepted_user_agents(secret: str, access: Access) -> list[str]:
    """What our zone sends now, is about to send, and sent until an hour ago."""
    versions = list(_versions(access.secrets_manager, secret))
    current = next(each for each in versions if "AWSCURRENT" in each["VersionStages"])
    stages = ["AWSCURRENT"]
    if any("AWSPENDING" in each["VersionStages"] and each is not current for each in versions):
        stages.append("AWSPENDING")
    if access.now - current["CreatedDate"] < _OVERLAP and any("AWSPREVIOUS" in v["VersionStages"] for v in versions):
        stages.append("AWSPREVIOUS")
    return sorted(set(_values(access.secrets_manager, secret, stages)))


def _values(manager: Any, secret: str, stages: list[str]) -> Iterator[str]:
    for stage in stages:
        try:
            yield manager.get_secret_value(SecretId=secret, VersionStage=stage)["SecretString"]
        except manager.exceptions.ResourceNotFoundException:
            # The version of a rotation that has just begun, or failed, has no value (API Reference, RotateSecret).
            if stage == "AWSCURRENT":
                raise


def _statements(bucket: str, agents: list[str] | None = None, ranges: list[str] | None = None) -> list[dict[str, Any]]:
    objects = f"arn:aws:s3:::{bucket}/*"
    everything = {"Principal": "*", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{bucket}", objects]}
    statements: list[dict[str, Any]] = [
        {"Sid": f"{_PREFIX}DenyPlainHttp", "Effect": "Deny", **everything,
         "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Sid": f"{_PREFIX}DenyOldTls", "Effect": "Deny", **everything,
         "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
    ]  # fmt: skip
    if agents and ranges:
        statements.append(
            {
                "Sid": f"{_PREFIX}CloudflareReads",
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": objects,
                # IPv4 only: Cloudflare's IPv6 ranges are so wide that S3 would call the policy public, and refuse it.
                "Condition": {"IpAddress": {"aws:SourceIp": ranges}, "StringEquals": {"aws:UserAgent": agents}},
            }
        )
    return statements


def _unread(bucket: str, quarantine: Quarantine | None) -> Iterator[dict[str, Any]]:
    """Denies reading and tagging, as a tag could mark an upload as clean. Holds for anonymous requests, too."""
    if quarantine is not None:
        actions = ("GetObject", "GetObjectVersion", "PutObjectTagging", "PutObjectVersionTagging")
        yield {
            "Sid": f"{_PREFIX}DenyQuarantine",
            "Effect": "Deny",
            "Principal": "*",
            "Action": [f"s3:{each}" for each in actions],
            "Resource": f"arn:aws:s3:::{bucket}/{quarantine.prefix}*",
            "Condition": {"ArnNotLike": {"aws:PrincipalArn": quarantine.roles}},
        }


def _foreign(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in statements if not str(each.get("Sid", "")).startswith(_PREFIX)]


def _read(bucket: str, s3: Any) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        return []
    return found


def _write(bucket: str, statements: list[dict[str, Any]], s3: Any) -> None:
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))


def _empty(bucket: str, s3: Any) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if found:
            s3.delete_objects(
                Bucket=bucket,
                Delete={"Objects": [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]},
            )
