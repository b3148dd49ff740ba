"""Moves uploads in which GuardDuty found no threat out of quarantine. Everything else stays there, unreadable.

GuardDuty's results come by EventBridge and a queue, each at least once and in no order (GuardDuty guide, "Monitoring S3
object scans with Amazon EventBridge").
"""

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from infra_runtime.aws import client
from infra_runtime.contract.metrics import MEDIA, MediaMetric, emit
from infra_runtime.reporting import reported

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_TAG, _CLEAN, _THREAT = "GuardDutyMalwareScanStatus", "NO_THREATS_FOUND", "THREATS_FOUND"
_MOVED = {"NoSuchVersion", "NoSuchKey", "404"}


class NotTagged(Exception):
    """An event says that the object is clean, and its tag does not yet: SQS delivers the event again."""


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    """Handles a batch of SQS. After an error SQS delivers the whole batch again, which is harmless."""
    for record in event["Records"]:
        body = json.loads(record["body"])
        settle(body["detail"], client("s3"), prefix=os.environ["PREFIX"], id_=body["id"])


def settle(detail: Mapping[str, Any], s3: Any, *, prefix: str, id_: str) -> None:
    """`id_` is the event's, so that an alarm counts each result once. Raises `NotTagged`, and what boto3 raises."""
    found, result = detail["s3ObjectDetails"], detail["scanResultDetails"]["scanResultStatus"]
    where = {"Bucket": found["bucketName"], "Key": found["objectKey"], "VersionId": found["versionId"]}
    if (detail["scanStatus"], result) == ("COMPLETED", _CLEAN):
        _move(s3, where, prefix)
        return
    logger.warning("%s (version %s) stays in quarantine: %s", where["Key"], where["VersionId"], result)
    metric = MediaMetric.THREATS if result == _THREAT else MediaMetric.UNSCANNED
    emit(MEDIA, {"Environment": os.environ["ENVIRONMENT"]}, {metric.value: 1}, id=id_)


def _move(s3: Any, where: Mapping[str, str], prefix: str) -> None:
    """The version that was scanned, and none that was uploaded over it since."""
    target = where["Key"].removeprefix(prefix)
    try:
        tags = {each["Key"]: each["Value"] for each in s3.get_object_tagging(**where)["TagSet"]}
        if tags.get(_TAG) != _CLEAN:
            raise NotTagged(f"{where['Key']}: {_TAG} is {tags.get(_TAG)}")
        s3.copy_object(Bucket=where["Bucket"], Key=target, CopySource=dict(where), TaggingDirective="REPLACE")
    except ClientError as error:
        if error.response["Error"]["Code"] not in _MOVED:
            raise
        logger.info("%s (version %s) was moved before", where["Key"], where["VersionId"])
        return
    s3.delete_object(**where)
    logger.info("%s is clean, and moved to %s", where["Key"], target)
