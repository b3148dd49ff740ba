"""ECS's question when a new version runs and no user sees it yet: can each of its tasks serve?

Asked at the tasks' own addresses: the load balancer would hide one bad task behind two good ones.
"""

import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra_runtime.aws import client
from infra_runtime.release.revision import Answer, Asked, Revision, answer, revision_of

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

# A database that fails over is back within two minutes, but a release need not be the one to wait for it.
_ATTEMPTS = 3
_PAUSE_SECONDS = 5
_PATIENCE_SECONDS = 5
_MOST_BYTES = 65_536


def handler(event: Mapping[str, Any], context: object) -> Answer:
    hook = Verify(
        client("ecs"),
        path=os.environ["RELEASE_PATH"],
        port=int(os.environ["PORT"]),
        checks=[each for each in os.environ["CHECKS"].split(",") if each],
        bootstrap=os.environ["BOOTSTRAP_IMAGE"],
    )
    return hook.answer(Asked.of(event))


@dataclass(frozen=True)
class Verify:
    ecs: Any
    path: str
    port: int
    checks: Sequence[str]
    """What every answer has to call `ok`."""
    bootstrap: str
    sleep: Callable[[float], None] = time.sleep

    def answer(self, asked: Asked) -> Answer:
        """Raises what ECS's API raises; ECS takes what is raised for FAILED."""
        revision = revision_of(self.ecs, asked)
        if revision.image == self.bootstrap:
            return answer("SUCCEEDED")
        addresses = self._addresses(revision)
        if not addresses:
            logger.error("no task of %s runs", revision.task_definition)
            return answer("FAILED")
        failed = False
        for address in addresses:
            if wrong := self._ask(address, revision.image):
                logger.error("the new task at %s cannot serve: %s", address, wrong)
                failed = True
        if failed:
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
            wrong = self._look(f"http://{address}:{self.port}{self.path}", version)
            if wrong is None:
                return None
        return wrong

    def _look(self, url: str, version: str) -> str | None:
        try:
            with urllib.request.urlopen(url, timeout=_PATIENCE_SECONDS) as response:
                document = json.loads(response.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            return f"{self.path} answers {error.code}"
        except (OSError, ValueError) as error:
            return f"{self.path}: {error}"
        if not isinstance(document, Mapping) or document.get("version") != version:
            told = document.get("version") if isinstance(document, Mapping) else document
            return f"{self.path}: version is {str(told)[:100]!r}, RELEASE was {version!r}"
        checks = document.get("checks", {})
        for name in (*self.checks, *(set(checks) - set(self.checks))):
            if (told := checks.get(name)) != "ok":
                return f"{self.path}: {name} is {str(told)[:200]!r}, not 'ok'"
        return None
