"""One-line edits: predicted effects, compared with what the emulated CloudFormation and RDS do.

CI draws a few edits, `make soak` runs all: EDITS is their number.
"""

import os
import random
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ops.effects import Impact, effects
from ops.effects.rules.replaced import DATA
from ops.effects.template import Templates, exports, imports, references, resources
from tests.effects import edits
from tests.effects.edits import Edit

DRAWN = 2
"""Number of edits in CI."""
# Tables that the tests' environments lack: a job, other kinds of Redis, and a worker with its own queue.
FURTHER: Mapping[str, Any] = {
    "jobs.tidy": {"runs": "api", "schedule": "rate(1 hour)", "command": ["node", "tidy.js"]},
    "redis.instances.next": {"upstash": {"credentials_secret": "daadaar/upstash", "region": "eu-central-1"}},
    "redis.instances.last": {"external": {"url_secret": "daadaar/redis-url", "ports": [6380, 26379]}},
    "redis.instances.jobs": {"eviction": False, "elasticache": {"node": "cache.t4g.micro", "replicas": 0}},
    "redis.queue": "jobs",
    "services.mail": {
        "runs": "api", "command": ["node", "worker.js"], "health_command": ["node", "alive.js"], "needs": ["queue"],
        "queue": {"keys": ["bull:mail:wait"], "jobs_per_task": 10}, "max_tasks": 2,
    },
}  # fmt: skip


def raw_of(name: str) -> dict[str, Any]:
    """An environment's file, with an entry in every table that it may have."""
    from config import ENVIRONMENTS

    raw = tomllib.loads((ENVIRONMENTS / f"{name}.toml").read_text())
    for key, value in FURTHER.items():
        *tables, last = key.split(".")
        table = raw
        for each in tables:
            table = table.setdefault(each, {})
        table[last] = value
    return raw


class Synthesis:
    """Templates of one environment after an edit of its file."""

    def __init__(self, name: str, folder: Path, context: Mapping[str, Any]) -> None:
        self.name, self._folder, self._context = name, folder, dict(context)
        self.raw = raw_of(name)
        self.before = self.of(self.raw)

    def of(self, raw: Mapping[str, Any]) -> Templates:
        """Raises `InvalidEnvironments` for a file that configuration refuses."""
        import aws_cdk as cdk

        import app
        from config import ENVIRONMENTS, load
        from ops.templates import read

        files = shutil.copytree(ENVIRONMENTS, self._folder / f"{len(list(self._folder.iterdir()))}")
        edits.written(raw, files / f"{self.name}.toml")
        root = cdk.App(context=self._context, outdir=str(files / "cdk.out"))
        app.build(root, load([self.name], directory=files))
        root.synth()
        (assembly,) = (files / "cdk.out").glob("assembly-*")
        return dict(read(assembly))


@pytest.fixture(scope="module")
def synthesis(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    return Synthesis("dev", tmp_path_factory.mktemp("edits"), context)


def drawn() -> list[Edit]:
    every = list(edits.edits(raw_of("dev")))
    many = min(int(os.environ.get("EDITS", DRAWN)), len(every))
    return random.Random("edits").sample(every, many)


def test_every_key_of_the_model_has_an_edit() -> None:
    """Keys below a table that no environment has are part of the edit that adds the table."""
    edited = {edits.pattern(each.key) for name in ("dev", "production") for each in edits.edits(raw_of(name))}
    tables = {key for key in edits.OTHERS if any(each.startswith(f"{key}.") for each in edits.every_key())}
    missing = [
        key for key in edits.every_key() if key not in edited and not any(key.startswith(f"{each}.") for each in tables)
    ]
    assert missing == [], "name a value in tests/effects/edits.py, OTHERS"


@pytest.mark.parametrize("edit", drawn(), ids=str)
def test_predictions_match_the_emulated_cloudformation_and_rds(edit: Edit, synthesis: Synthesis) -> None:
    from config.problems import InvalidEnvironments

    try:
        after = synthesis.of(edit.raw)
    except InvalidEnvironments as refused:
        assert all(each.line > 0 and each.expected for each in refused.problems), "refused before anything is deployed"
        return
    found = effects(synthesis.before, after)
    assert disagreements(found, synthesis.before, after) == []


def disagreements(found: Any, before: Templates, after: Templates) -> list[str]:
    """Differences between the predicted effects and what CloudFormation and RDS do, one sentence each."""
    values = {(each.stack, each.resource): each for each in found}
    kinds = {(each.stack, each.resource, each.kind) for each in found}
    refused = [each for each in found if each.severity is Impact.IMPOSSIBLE]
    left = []
    for stack, name, _ in replaced(before, after):
        if not kinds & {(stack, name, kind) for kind in ("replaced", "may-be-replaced", "exists", "refused", "type")}:
            left.append(f"{stack}/{name} is replaced, and predicted is {values.get((stack, name))}")
    for stack, name, type_ in gone(before, after):
        if type_ in DATA and (stack, name, "gone") not in kinds:
            left.append(f"{stack}/{name} goes with its data, and predicted is {values.get((stack, name))}")
    for stack, export in refused_exports(before, after):
        if not any(each.kind == "in-use" and each.stack == stack and each.resource in export for each in found):
            left.append(f"{stack}: {export} is in use, and nothing is predicted")
    for stack, name, reason in refused_databases(before, after):
        if not kinds & {(stack, name, kind) for kind in ("refused", "version")}:
            left.append(f"{stack}/{name}: {reason}, and predicted is {values.get((stack, name))}")
    happens = {(stack, name) for stack, name, _ in refused_databases(before, after)}
    for each in refused:
        if (
            each.type == "AWS::RDS::DBInstance"
            and each.kind == "refused"
            and (each.stack, each.resource) not in happens
        ):
            left.append(f"{each.name} is not refused")
    return left


def _change_sets(before: Templates, after: Templates) -> Iterator[tuple[str, dict[str, Any]]]:
    """Change sets as MiniStack computes them, from its own tables and not from the provider schemas."""
    from ministack.services.cloudformation.stacks import _diff_resources

    for stack in after:
        if stack in before:
            old, new = ({"Resources": dict(resources(each[stack]))} for each in (before, after))
            for each in _diff_resources(old, new):
                yield stack, each["ResourceChange"]


def replaced(before: Templates, after: Templates) -> Iterator[tuple[str, str, str]]:
    for stack, change in _change_sets(before, after):
        if change.get("Replacement") == "True":
            yield stack, change["LogicalResourceId"], change["ResourceType"]


def gone(before: Templates, after: Templates) -> Iterator[tuple[str, str, str]]:
    for stack, change in _change_sets(before, after):
        if change["Action"] == "Remove":
            yield stack, change["LogicalResourceId"], change["ResourceType"]


def refused_exports(before: Templates, after: Templates) -> Iterator[tuple[str, str]]:
    """Exports that are removed, or whose resource is replaced, while another stack imports them."""
    new_ids = {(stack, name) for stack, name, _ in replaced(before, after)}
    now = dict(before)
    for stack, template in after.items():
        old, new = exports(before.get(stack, {})), exports(template)
        for name in old:
            moves = name not in new or any((stack, each) in new_ids for each, _ in references(new[name]))
            if moves and any(name in set(imports(each)) for other, each in now.items() if other != stack):
                yield stack, name
        now[stack] = template


def refused_databases(before: Templates, after: Templates) -> Iterator[tuple[str, str, str]]:
    from simulators.aws.types.db_instance import refused_change

    for stack, template in after.items():
        for name, each in resources(template).items():
            old = resources(before.get(stack, {})).get(name)
            if each["Type"] == "AWS::RDS::DBInstance" and old is not None:
                was, is_ = old["Properties"], each["Properties"]
                if reason := refused_change(str(was.get("EngineVersion")), was, is_):
                    yield stack, name, reason
