"""Differences between a database and its copy, and obstacles to copying a database."""

from dataclasses import replace
from typing import Any

import pytest

from infra_runtime.database.contents import DatabaseContents, Rows, Table
from infra_runtime.database.upgrade import of_database, of_instance
from infra_runtime.database.verification import Inspected, differences
from tests.databases import Database

CONTENTS = DatabaseContents(
    version="18.3",
    in_recovery=False,
    read_only=True,
    settings=[],
    roles=6,
    schema="0123456789abcdef",
    extensions={"plpgsql": "1.0", "pg_trgm": "1.6"},
    tables=[Table(name="public.visitors", owner="app_owner", grants="", bytes=8192, estimate=3, changed=None)],
)


def found(*, contents: dict[str, Any] | None = None, **rows: Any) -> Inspected:
    of_table = Rows(**{"count": 3, "digest": "same", "count_until": 3, **rows})
    return Inspected(replace(CONTENTS, **(contents or {})), {"public.visitors": of_table})


def test_a_copy_may_be_a_little_behind() -> None:
    assert list(differences(found(), found(), found())) == []
    # Two rows came between the first count and the last; the copy has one of them.
    before, copy, after = found(), found(count=4, digest="x"), found(count=5, digest="y")
    assert list(differences(copy, before, after)) == []


@pytest.mark.parametrize(
    ("copy", "after", "expected"),
    [
        ({"digest": "other"}, {}, "public.visitors has 3 rows with another content; there are 3"),
        ({"count": 2, "digest": "x"}, {"count": 5, "digest": "y"}, "public.visitors has 2 rows, at least 3 are there"),
        ({"contents": {"schema": "other"}}, {}, "its schema is another"),
        ({"contents": {"extensions": {"plpgsql": "1.0"}}}, {}, "the extension pg_trgm is not there"),
        ({"contents": {"roles": 4}}, {}, "only 4 of 6 roles are there"),
        ({"contents": {"settings": ["rds.force_ssl is 0, declared 1"]}}, {}, "another parameter group is in effect"),
        ({"contents": {"in_recovery": True}}, {}, "it is still being restored"),
    ],
)
def test_differences_of_a_copy_are_reported(copy: dict[str, Any], after: dict[str, Any], expected: str) -> None:
    (difference,) = differences(found(**copy), found(), found(**after))
    assert expected in difference


def test_a_missing_table_is_reported() -> None:
    empty = Inspected(CONTENTS, {})
    assert list(differences(empty, found(), found())) == ["public.visitors is not there"]


def test_a_database_that_logical_replication_can_copy_has_no_obstacle(database: Database) -> None:
    with database.as_(database.master) as connection:
        connection.execute("create table keyed (id int primary key)")
        connection.execute("create table whole (id int)")
        connection.execute("alter table whole replica identity full")
        assert list(of_database(connection)) == []
        # This server has neither the parameter nor a parameter group.
        assert any(each.startswith("rds.logical_replication is not in effect") for each in of_instance(connection))
