"""ECS's hook when a new version runs and no user reaches it yet: can each of its tasks serve?

Asked at the tasks' own addresses: the load balancer would hide one bad task behind two good ones.
"""

import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from infra_runtime.aws import client
from infra_runtime.contract.revision import Answer, HookCall, Revision, answer, revision_of
from infra_runtime.json_fields import field_of
from infra_runtime.release.ledger import Ledger
from infra_runtime.reporting import reported

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

# A database that fails over is back within two minutes, but a release need not be the one to wait for it.
_ATTEMPTS = 3
_PAUSE_SECONDS = 5
_TIMEOUT_SECONDS = 5
_MOST_BYTES = 65_536
_AT_ONCE = 32
_MOST_REPORTED = 10


@reported
def handler(event: Mapping[str, Any], context: object) -> Answer:
    hook = Verify(
        client("ecs"),
        path=os.environ["RELEASE_PATH"],
        port=int(os.environ["PORT"]),
        version_field=os.environ.get("VERSION_FIELD"),
        expect=json.loads(os.environ.get("EXPECT", "{}")),
        repository=os.environ["REPOSITORY"],
        ledger=Ledger(client("dynamodb"), os.environ["LEDGER"]),
        service=os.environ["SERVICE"],
    )
    return hook.answer(HookCall.of(event))


class _Final(Exception):
    """A failure that a retry would not fix."""


@dataclass(frozen=True)
class Verify:
    ecs: Any
    path: str
    port: int
    version_field: str | None
    """Dotted name of the field that repeats the variable RELEASE, if there is one."""
    expect: Mapping[str, str]
    """Values of fields, by dotted name."""
    repository: str
    """Of the released images; a task with an image of another one runs the bootstrap image."""
    ledger: Ledger
    service: str
    sleep: Callable[[float], None] = time.sleep

    def answer(self, asked: HookCall) -> Answer:
        """Raises what ECS's API raises; ECS treats an exception as FAILED."""
        revision = revision_of(self.ecs, asked)
        if not revision.image.startswith(f"{self.repository}@"):
            return answer("SUCCEEDED")
        if self.ledger.is_stopped(self.service, revision.image):
            logger.info("%s: the release was stopped", self.service)
            return answer("FAILED")
        addresses = self._addresses(revision)
        if not addresses:
            logger.error("no task of %s runs", revision.task_definition)
            return answer("FAILED")
        # At once: one after the other, a large service would take longer than a function may.
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            wrongs = list(pool.map(lambda address: self._ask(address, revision.image), addresses))
        complaints = [f"{address}: {wrong}" for address, wrong in zip(addresses, wrongs, strict=True) if wrong]
        if complaints:
            logger.error("new tasks cannot serve: %s", "; ".join(complaints))
            self.ledger.note(self.service, "complaints", complaints[:_MOST_REPORTED])
            return answer("FAILED")
        logger.info("%d tasks of %s can serve", len(addresses), revision.image)
        return answer("SUCCEEDED")

    def _addresses(self, revision: Revision) -> list[str]:
        pages = self.ecs.get_paginator("list_tasks").paginate(
            cluster=revision.cluster, serviceName=revision.service.rpartition("/")[2]
        )
        arns = [arn for page in pages for arn in page["taskArns"]]
        found = []
        for at in range(0, len(arns), 100):
            for task in self.ecs.describe_tasks(cluster=revision.cluster, tasks=arns[at : at + 100])["tasks"]:
                if task["taskDefinitionArn"] == revision.task_definition and task["lastStatus"] == "RUNNING":
                    found += [
                        detail["value"]
                        for attachment in task["attachments"]
                        for detail in attachment["details"]
                        if detail["name"] == "privateIPv4Address"
                    ]
        return found

    def _ask(self, address: str, version: str) -> str | None:
        """What is wrong, or None."""
        wrong = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                self.sleep(_PAUSE_SECONDS)
            try:
                wrong = self._request(f"http://{address}:{self.port}{self.path}", version)
            except _Final as error:
                return str(error)
            if wrong is None:
                return None
        return wrong

    def _request(self, url: str, version: str) -> str | None:
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
                body = response.read(_MOST_BYTES)
                if response.status != 200:
                    return f"{self.path} answers {response.status}"
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise _Final(f"{self.path} answers 404; see docs/application-contract.md") from None
            return f"{self.path} answers {error.code}"
        except OSError as error:
            return f"{self.path}: {error}"
        if self.version_field is None and not self.expect:
            return None
        try:
            document = json.loads(body)
        except ValueError as error:
            return f"{self.path}: no JSON: {error}"
        if self.version_field is not None and (found := field_of(document, self.version_field)) != version:
            raise _Final(f"{self.path}: {self.version_field} is {_shown(found)}, RELEASE was {version!r}")
        for name, wanted in self.expect.items():
            if (found := field_of(document, name)) != wanted:
                return f"{self.path}: {name} is {_shown(found)}, not {wanted!r}"
        return None


def _shown(value: str | None) -> str:
    return "missing" if value is None else repr(value[:200])
