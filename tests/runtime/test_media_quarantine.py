"""Only what GuardDuty has found clean leaves quarantine, and exactly the version that it has seen."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra_runtime import media_quarantine
from infra_runtime.media_quarantine import NotTagged, settle

PREFIX = "uploads/"
CLEAN = "NO_THREATS_FOUND"


class S3:
    """A bucket with versions: (key, version) → (body, tags). The newest one of a key is the last."""

    def __init__(self, **tags: str) -> None:
        self.versions = {("uploads/a.avif", "1"): (b"first", tags), ("uploads/a.avif", "2"): (b"second", {})}

    def _at(self, where: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        try:
            return self.versions[where["Key"], where["VersionId"]]
        except KeyError:
            raise ClientError({"Error": {"Code": "NoSuchVersion", "Message": ""}}, "S3") from None

    def get_object_tagging(self, **where: str) -> dict[str, Any]:
        return {"TagSet": [{"Key": key, "Value": value} for key, value in self._at(where)[1].items()]}

    def copy_object(self, *, Bucket: str, Key: str, CopySource: dict[str, str], TaggingDirective: str) -> None:  # noqa: N803
        assert TaggingDirective == "REPLACE"
        self.versions[Key, "copy"] = (self._at(CopySource)[0], {})

    def delete_object(self, *, Bucket: str, Key: str, VersionId: str) -> None:  # noqa: N803
        del self.versions[Key, VersionId]


def detail(result: str, status: str = "COMPLETED") -> dict[str, Any]:
    """The event's detail, as in the samples of the GuardDuty guide."""
    return {
        "schemaVersion": "1.0",
        "scanStatus": status,
        "resourceType": "S3_OBJECT",
        "s3ObjectDetails": {
            "bucketName": "media", "objectKey": "uploads/a.avif", "eTag": "e", "versionId": "1", "s3Throttled": False
        },
        "scanResultDetails": {"scanResultStatus": result, "threats": None},
    }  # fmt: skip


def test_a_clean_upload_moves_to_its_key_without_the_prefix_and_a_repeated_event_does_nothing() -> None:
    s3 = S3(GuardDutyMalwareScanStatus=CLEAN)
    for _ in range(2):
        settle(detail(CLEAN), s3, prefix=PREFIX, id_="1")
        # What was uploaded over it meanwhile is not scanned yet.
        assert s3.versions == {("uploads/a.avif", "2"): (b"second", {}), ("a.avif", "copy"): (b"first", {})}


@pytest.mark.parametrize("tags", [{}, {"GuardDutyMalwareScanStatus": "THREATS_FOUND"}])
def test_an_event_alone_moves_nothing(tags: dict[str, str]) -> None:
    s3 = S3(**tags)
    before = dict(s3.versions)
    with pytest.raises(NotTagged, match=r"uploads/a\.avif: GuardDutyMalwareScanStatus is"):
        settle(detail(CLEAN), s3, prefix=PREFIX, id_="1")
    assert s3.versions == before


@pytest.mark.parametrize(
    ("result", "status", "metric"),
    [
        ("THREATS_FOUND", "COMPLETED", "UploadsWithThreats"),
        ("UNSUPPORTED", "SKIPPED", "UploadsNotScanned"),
        ("ACCESS_DENIED", "SKIPPED", "UploadsNotScanned"),
        ("FAILED", "FAILED", "UploadsNotScanned"),
        # A result that GuardDuty may add one day.
        (CLEAN, "SKIPPED", "UploadsNotScanned"),
        ("PROBABLY_FINE", "COMPLETED", "UploadsNotScanned"),
    ],
)
def test_everything_else_stays_and_is_counted(
    result: str, status: str, metric: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    s3 = S3(GuardDutyMalwareScanStatus=result)
    before = dict(s3.versions)
    monkeypatch.setenv("ENVIRONMENT", "dev")
    monkeypatch.setenv("PREFIX", PREFIX)
    monkeypatch.setattr(media_quarantine, "client", lambda _: s3)
    body = json.dumps({"id": "event-1", "detail": detail(result, status)})
    media_quarantine.handler({"Records": [{"body": body}]}, None)
    assert s3.versions == before
    emitted = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (emitted[metric], emitted["Environment"], emitted["id"]) == (1, "dev", "event-1")
