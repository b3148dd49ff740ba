"""Migrations that drizzle skips silently are found in the layers of the image, which ECR provides."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from infra_runtime.release.image_layers import Unreadable, layers
from infra_runtime.release.skipped import skipped
from rehearsal.product import FIRST, build
from simulators.http_server import send, serving
from tests.databases import Database
from tests.runtime.release.aws import IMAGE
from tests.runtime.release.test_migrate import DRIZZLE, Tasks

A, B, C = FIRST, "alter table visitors add email text", "alter table visitors add age int"
REPOSITORY = "api"


class Ecr:
    """ECR with manifests by digest, and layers behind URLs that need no credentials."""

    def __init__(self, url: str) -> None:
        self.url, self.blobs, self.manifests = url, {}, {}  # type: ignore[var-annotated]

    def push(self, *contents: bytes, digest: str = IMAGE.partition("@")[2]) -> None:
        """Pushes an image of these layers, the lowest first."""
        found = []
        for each in contents:
            name = f"sha256:{hashlib.sha256(each).hexdigest()}"
            self.blobs[name] = each
            found.append({"digest": name, "size": len(each)})
        self.manifests[digest] = {"schemaVersion": 2, "layers": found}

    def batch_get_image(self, **request: Any) -> dict[str, Any]:
        assert request["repositoryName"] == REPOSITORY
        (wanted,) = request["imageIds"]
        if (found := self.manifests.get(wanted["imageDigest"])) is None:
            return {"images": [], "failures": [{"failureCode": "ImageNotFound"}]}
        return {"images": [{"imageManifest": json.dumps(found)}], "failures": []}

    def get_download_url_for_layer(self, *, repositoryName: str, layerDigest: str) -> dict[str, Any]:  # noqa: N803
        assert repositoryName == REPOSITORY
        return {"downloadUrl": f"{self.url}/{layerDigest}"}


@contextmanager
def registry() -> Iterator[Ecr]:
    made = Ecr("")

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        found = made.blobs.get(handler.path.lstrip("/"))
        send(handler, 404 if found is None else 200, found or b"")

    with serving(respond) as url:
        made.url = url
        yield made


@pytest.fixture
def ecr() -> Iterator[Ecr]:
    with registry() as made:
        yield made


def layer(files: dict[str, str], *, packed: Callable[[bytes], bytes] = gzip.compress) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed(content.getvalue())


def journal(*entries: tuple[str, int], **files: str) -> dict[str, str]:
    """A drizzle journal with these (tag, when) entries, and more files by name."""
    listed = [{"idx": at, "when": when, "tag": tag} for at, (tag, when) in enumerate(entries)]
    return {
        "app/drizzle/meta/_journal.json": json.dumps({"entries": listed}),
        **{f"app/drizzle/{name}.sql": text for name, text in files.items()},
    }


def layer_of(folder: Path) -> bytes:
    """A layer as `COPY . .` makes it."""
    files = {f"app/{each.relative_to(folder)}": each.read_text() for each in (folder / "migrations").rglob("*.*")}
    return layer(files)


def applied(database: Database, *rows: tuple[str, int], name: bool = False) -> None:
    with database.as_(database.owner) as owner:
        owner.execute("create schema drizzle")
        more = ", name text" if name else ""
        owner.execute(f"create table drizzle.__drizzle_migrations (id serial, hash text, created_at bigint{more})")
        for each in rows:
            owner.execute("insert into drizzle.__drizzle_migrations (hash, created_at) values (%s, %s)", each)


def found(ecr: Ecr, database: Database) -> list[str]:
    with database.as_(database.owner) as owner:
        return skipped(ecr, f"registry.example/{REPOSITORY}@{IMAGE.partition('@')[2]}", owner)


def test_a_branch_that_is_merged_later_is_skipped_by_drizzle_and_named(
    tmp_path: Path, database: Database, ecr: Ecr
) -> None:
    first = build(tmp_path / "first", (A, B))
    tasks = Tasks(database, first)
    tasks.command = DRIZZLE
    assert _run(tasks) == 0
    ecr.push(layer({"etc/os-release": "debian"}), layer_of(first))
    assert found(ecr, database) == []
    second = build(tmp_path / "second", (A, B, C))
    path = second / "migrations" / "meta" / "_journal.json"
    document = json.loads(path.read_text())
    # Generated on a branch, earlier than B.
    document["entries"][2]["when"] = document["entries"][1]["when"] - 1
    path.write_text(json.dumps(document))
    tasks.folder = second
    assert _run(tasks) == 0, "drizzle reports success"
    ecr.push(layer({"etc/os-release": "debian"}), layer_of(second))
    assert found(ecr, database) == ["0002_step"]


def _run(tasks: Tasks) -> int:
    name = f"migrate-{len(tasks.tasks)}"
    tasks.run_task(clientToken=name, startedBy=name)
    (process,) = tasks.alive
    return process.wait()


@pytest.mark.parametrize(
    ("entries", "rows", "expected"),
    [
        ([("a", 1), ("b", 3), ("c", 2)], [("", 1), ("", 3)], ["c"]),
        ([("a", 1), ("c", 2), ("b", 3)], [("", 1), ("", 3)], ["c"]),
        ([("a", 1), ("b", 2)], [("", 1), ("", 2)], []),
        # A database from before drizzle, which has recorded only the last ones.
        ([("a", 1), ("b", 2), ("c", 3)], [("", 2), ("", 3)], []),
        # An applied migration with another time: drizzle is right to skip it.
        ([("a", 1), ("b", 4)], [("", 1), (hashlib.sha256(b"create b").hexdigest(), 3)], []),
    ],
)
def test_migrations_that_the_image_has_and_the_database_lacks_are_found(
    entries: list[tuple[str, int]], rows: list[tuple[str, int]], expected: list[str], ecr: Ecr, database: Database
) -> None:
    applied(database, *rows)
    ecr.push(layer(journal(*entries, b="create b")))
    assert found(ecr, database) == expected


def test_the_uppermost_journal_counts_and_lower_layers_are_not_fetched(ecr: Ecr, database: Database) -> None:
    applied(database, ("", 1), ("", 3))
    below = layer({"huge": "x" * 1000})
    old = layer(journal(("a", 1), ("b", 3)))
    ecr.push(below, old, layer(journal(("a", 1), ("b", 3), ("c", 2))), layer({"app/server.js": "serve()"}))
    ecr.blobs = {name: each for name, each in ecr.blobs.items() if each not in (below, old)}
    assert found(ecr, database) == ["c"]


def test_journals_of_other_packages_are_ignored(ecr: Ecr, database: Database) -> None:
    applied(database, ("", 1), ("", 3))
    theirs = {"app/node_modules/theirs/meta/_journal.json": "no JSON at all"}
    another = {"other/meta/_journal.json": json.dumps({"entries": [{"tag": "z", "when": 77}]})}
    ecr.push(layer(journal(("a", 1), ("b", 3), ("c", 2))), layer({**theirs, **another}))
    assert found(ecr, database) == ["c"]


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"entries": [{"tag": "a"}]}', '{"entries": {}}'])
def test_a_file_that_only_has_the_name_of_a_journal_is_ignored(text: str, ecr: Ecr, database: Database) -> None:
    applied(database, ("", 1), ("", 3))
    ecr.push(layer(journal(("a", 1), ("b", 3), ("c", 2))), layer({"docs/meta/_journal.json": text}))
    assert found(ecr, database) == ["c"]


def test_a_table_of_migrations_that_the_login_may_not_read_is_reported(ecr: Ecr, database: Database) -> None:
    with database.as_(database.master) as master:
        master.execute("create schema drizzle")
        master.execute("create table drizzle.__drizzle_migrations (id serial, hash text, created_at bigint)")
    with pytest.raises(Unreadable, match="permission denied"):
        found(ecr, database)


def test_of_an_image_for_several_platforms_the_first_one_is_read(ecr: Ecr, database: Database) -> None:
    applied(database, ("", 1), ("", 3))
    ecr.push(layer(journal(("a", 1), ("b", 3), ("c", 2)), packed=lambda content: content), digest="sha256:arm")
    ecr.manifests[IMAGE.partition("@")[2]] = {
        "manifests": [
            {"digest": "sha256:attestation", "platform": {"os": "unknown", "architecture": "unknown"}},
            {"digest": "sha256:arm", "platform": {"os": "linux", "architecture": "arm64"}},
        ]
    }
    assert found(ecr, database) == ["c"]


@pytest.mark.parametrize("name", [False, True], ids=["no drizzle", "drizzle 1.0, which identifies by name"])
def test_the_image_is_not_read_when_nothing_can_be_skipped(name: bool, database: Database) -> None:
    if name:
        applied(database, ("", 1), name=True)
    with database.as_(database.owner) as owner:
        assert skipped(None, IMAGE, owner) == []


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ([], "has no meta/_journal.json"),
        ([layer({"app/server.js": "x"})], "has no meta/_journal.json"),
        ([b"no archive"], "layer sha256:"),
        ([layer(journal(("a", 1)))[:40]], "layer sha256:"),
    ],
    ids=["no layers", "no journal", "no archive", "cut off"],
)
def test_an_image_that_cannot_be_read_is_reported(
    contents: list[bytes], reason: str, ecr: Ecr, database: Database
) -> None:
    applied(database, ("", 1))
    ecr.push(*contents)
    with pytest.raises(Unreadable, match=reason):
        found(ecr, database)


def test_an_image_that_is_gone_is_reported(ecr: Ecr) -> None:
    with pytest.raises(Unreadable, match="ImageNotFound"):
        list(layers(ecr, f"registry.example/{REPOSITORY}@sha256:gone", lambda _: True))
