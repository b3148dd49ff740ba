"""How old the newest backup is, from what RDS answers."""

from datetime import UTC, datetime, timedelta
from typing import Any

from infra_runtime.database.backups import ages

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Rds:
    def __init__(self, latest: datetime | None, *snapshots: tuple[str, datetime | None]) -> None:
        self._latest, self._snapshots = latest, snapshots

    def describe_db_instances(self, DBInstanceIdentifier: str) -> dict[str, Any]:  # noqa: N803
        return {"DBInstances": [{"LatestRestorableTime": self._latest} if self._latest else {}]}

    def get_paginator(self, name: str) -> Any:
        return self

    def paginate(self, *, DBInstanceIdentifier: str, SnapshotType: str) -> Any:  # noqa: N803
        assert SnapshotType == "automated"
        for status, taken in self._snapshots:
            yield {"DBSnapshots": [{"Status": status} | ({"SnapshotCreateTime": taken} if taken else {})]}


def test_both_ages_are_published() -> None:
    hour = timedelta(hours=1)
    rds = Rds(NOW - timedelta(minutes=4), ("available", NOW - 30 * hour), ("available", NOW - 6 * hour))
    assert ages(rds, "db", now=NOW) == {"RestorePointMinutes": 4, "SnapshotHours": 6}


def test_an_unfinished_snapshot_does_not_count() -> None:
    rds = Rds(NOW, ("creating", None), ("available", NOW - timedelta(hours=40)))
    assert ages(rds, "db", now=NOW)["SnapshotHours"] == 40


def test_an_unknown_age_is_not_published() -> None:
    """The alarm treats missing data as breaching."""
    assert ages(Rds(None), "db", now=NOW) == {}
