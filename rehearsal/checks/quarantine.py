"""Quarantine of uploads until GuardDuty has scanned them."""

from botocore.exceptions import ClientError

from rehearsal.account import Account
from rehearsal.checks.assertions import not_on_this_plan, require, wait_until
from simulators.aws.eicar import EICAR

_THREAT, _CLEAN = TRIED = ("rehearsed/threat.avif", "rehearsed/clean.avif")
_MOVED_SECONDS = 60.0


def scanned_first(account: Account) -> str:
    """A clean upload leaves quarantine, one with the EICAR test file stays; not even an administrator can read it."""
    prefix, s3, bucket = account.environment.media.quarantine, account.client("s3"), account.environment.media.bucket
    if prefix is None:
        not_on_this_plan("media.quarantine names no prefix")
    for key, body in ((_THREAT, EICAR), (_CLEAN, b"a picture")):
        s3.put_object(Bucket=bucket, Key=f"{prefix}{key}", Body=body)
        require(_read(account, f"{prefix}{key}") == "AccessDenied", f"{prefix}{key} can be read")

    def left() -> set[str]:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}rehearsed/", MaxKeys=9)
        return {each["Key"] for each in found.get("Contents", [])}

    wait_until(lambda: left() == {f"{prefix}{_THREAT}"}, lambda: f"{left()} are in quarantine", seconds=_MOVED_SECONDS)
    require(_read(account, _CLEAN) == "a picture", f"{_CLEAN} was not moved")
    require(_read(account, _THREAT) == "NoSuchKey", f"{_THREAT} was moved")
    for key in (f"{prefix}{_THREAT}", _CLEAN):
        s3.delete_object(Bucket=bucket, Key=key)
    return f"below {prefix}; one with a test threat stayed"


def _read(account: Account, key: str) -> str:
    """Text of the object, or the code of S3's refusal."""
    try:
        answer = account.client("s3").get_object(Bucket=account.environment.media.bucket, Key=key)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return str(answer["Body"].read().decode())
