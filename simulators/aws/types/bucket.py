"""AWS::S3::Bucket: MiniStack drops lifecycle rules, and the tags by which CDK knows which buckets it may empty.

It also takes PutBucketMetricsConfiguration for CreateBucket.
"""

from typing import Any

from ministack.services import s3

from simulators.aws.resource_type import Properties, ResourceRefused, client, complete


def _rule(rule: Properties) -> dict[str, Any]:
    """A rule of the template as the API takes it. Refuses one that does nothing, as S3 does."""
    expiration = {
        key: value
        for key, value in {
            "Days": rule.get("ExpirationInDays"),
            "ExpiredObjectDeleteMarker": rule.get("ExpiredObjectDeleteMarker"),
        }.items()
        if value is not None
    }
    actions = {
        "Expiration": expiration,
        "NoncurrentVersionExpiration": rule.get("NoncurrentVersionExpiration"),
        "AbortIncompleteMultipartUpload": rule.get("AbortIncompleteMultipartUpload"),
    }
    present = {key: value for key, value in actions.items() if value}
    if not present:
        raise ResourceRefused("At least one action needs to be specified in a rule")
    return {"ID": rule.get("Id", ""), "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}, **present}


def _complete(bucket: str, properties: Properties) -> None:
    api = client("s3")
    if tags := properties.get("Tags"):
        api.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": list(tags)})
    if rules := properties.get("LifecycleConfiguration", {}).get("Rules"):
        api.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": [_rule(rule) for rule in rules]}
        )


def install() -> None:
    def dispatch(method: str, bucket: str, key: str, *rest: Any) -> Any:
        *_, query = rest
        if method == "PUT" and not key and "metrics" in query and s3._ensure_bucket(bucket) is not None:
            return 200, {}, b""  # Nothing here reads S3's request metrics.
        return own(method, bucket, key, *rest)

    own, s3._dispatch = s3._dispatch, dispatch
    complete("AWS::S3::Bucket", _complete)
