"""Begins releases, and writes down how they end. The only thing that a pipeline's role may call.

CloudFormation would let whoever may update a stack give it another template, and with it everything that its own role
may do. So nobody but this function updates it, and it changes nothing but one parameter.
"""

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import ClientError

from infra_runtime.metrics import RELEASES, Releases, emit
from infra_runtime.release.ledger import Ledger, Outcome, Release, new_id
from infra_runtime.release.preflight import Preflight, Problem, Service, stack_of, why_it_went_back
from infra_runtime.release.sentry import sentry_from
from infra_runtime.reporting import reported
from infra_runtime.secret_values import deadline_of

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_LONGEST_NOTE = 1000


@reported
def handler(event: Mapping[str, Any], context: Any) -> Any:
    """From `infra release` or a pipeline: {"action": "check" | "start", …}; or CloudFormation's change of status."""
    names = ("SERVICE", "STACK", "PARAMETER", "REPOSITORY")
    service = Service(*(os.environ[name] for name in names))
    control = Control(boto3, Ledger(boto3.client("dynamodb"), os.environ["LEDGER"]), service)
    if "detail" in event:
        ended = control.settle(event["detail"])
        if ended is not None and ended.outcome != "running":
            name = Releases.SUCCEEDED if ended.outcome == "succeeded" else Releases.FAILED
            dimensions = {"Environment": os.environ["ENVIRONMENT"], "Service": service.name}
            emit(RELEASES, dimensions, {name.value: 1}, id=ended.id)
        if ended is not None and ended.outcome == "succeeded" and "SENTRY" in os.environ:
            _tell_sentry(ended, deadline_of(context))
        return None
    return control.asked(event)


def _tell_sentry(release: Release, deadline: float) -> None:
    """Never what a release fails by: it has ended, and well."""
    told = json.loads(os.environ["SENTRY"])
    try:
        secret = boto3.client("secretsmanager").get_secret_value(SecretId=told["token_secret"])["SecretString"]
        sentry = sentry_from(secret, organization=told["organization"], deadline=deadline)
        sentry.deployed(release, project=told["project"], environment=told["environment"])
        logger.info("%s: Sentry knows of %s", release.service, release.id)
    except Exception:  # whatever it is, it is Sentry's
        logger.exception("%s: Sentry was not told of %s", release.service, release.id)


@dataclass(frozen=True)
class Control:
    clients: Any
    """`client(service)` as boto3 has it."""
    ledger: Ledger
    service: Service

    def asked(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """{"problems": …} and, when there are none and it was begun, {"id": …}."""
        kind = event.get("kind", "release")
        problems = [*self._busy(), *Preflight(self.clients, self.service).problems(event["image"], kind)]
        answer: dict[str, Any] = {"problems": [asdict(each) for each in problems]}
        if problems or event["action"] == "check":
            return answer
        release = self._begun(event, kind)
        try:
            self._update(release)
        except ClientError as error:
            self._end(release, "failed", f"CloudFormation did not begin: {error}")
            problem = Problem("stack", str(error), "nothing was changed")
            return {"problems": [asdict(problem)]}
        return {**answer, "id": release.id}

    def settle(self, detail: Mapping[str, Any]) -> Release | None:
        """CloudFormation's news of a stack; the release that has ended by it, if one has."""
        token = detail.get("client-request-token")
        release = self.ledger.find(self.service.name, token) if token else None
        if release is None or release.outcome != "running":
            return None
        self._settle(release, detail["status-details"]["status"])
        return self.ledger.find(self.service.name, release.id)

    def _settle(self, release: Release, status: str) -> None:
        if status == "UPDATE_COMPLETE":
            self._end(release, "succeeded", None)
        elif status.endswith("_FAILED") or status == "UPDATE_ROLLBACK_COMPLETE":
            self._end(release, "failed", why_it_went_back(self.clients, self.service.stack) or status)

    def _busy(self) -> list[Problem]:
        newest = self.ledger.newest(self.service.name)
        if newest is None or newest.outcome != "running":
            return []
        status = stack_of(self.clients, self.service.stack)["StackStatus"]
        if status.endswith("_IN_PROGRESS"):
            return [Problem("release", f"{newest.id} by {newest.who} is under way", "infra status, then wait for it")]
        # The news of its end never came.
        self._settle(newest, status)
        return []

    def _begun(self, event: Mapping[str, Any], kind: Any) -> Release:
        ssm, cloudformation = self.clients.client("ssm"), self.clients.client("cloudformation")
        now = datetime.now(UTC)
        body = cloudformation.get_template(StackName=self.service.stack)["TemplateBody"]
        text = body if isinstance(body, str) else json.dumps(body, sort_keys=True)
        release = Release(
            service=self.service.name,
            id=new_id(now, secrets.token_hex(3)),
            kind=kind,
            image=event["image"],
            previous=ssm.get_parameter(Name=self.service.parameter)["Parameter"]["Value"],
            who=str(event["who"])[:200],
            began=now.isoformat(timespec="seconds"),
            template=hashlib.sha256(text.encode()).hexdigest()[:16],
            note=str(event["note"])[:_LONGEST_NOTE] if event.get("note") else None,
        )
        self.ledger.begin(release)
        return release

    def _update(self, release: Release) -> None:
        self._point(release.image)
        stack = stack_of(self.clients, self.service.stack)
        self.clients.client("cloudformation").update_stack(
            StackName=self.service.stack,
            UsePreviousTemplate=True,
            Parameters=[
                {"ParameterKey": each["ParameterKey"], "UsePreviousValue": True} for each in stack["Parameters"]
            ],
            Capabilities=stack.get("Capabilities", []),
            ClientRequestToken=release.id,
        )
        logger.info("%s: %s begins, %s", self.service.name, release.id, release.image)

    def _end(self, release: Release, outcome: Outcome, reason: str | None) -> None:
        """A release that failed leaves the parameter as it was: the next deployment is not to try it again."""
        if outcome == "failed":
            self._point(release.previous)
        when = datetime.now(UTC).isoformat(timespec="seconds")
        self.ledger.end(self.service.name, release.id, outcome=outcome, when=when, reason=reason)
        logger.info("%s: %s %s %s", self.service.name, release.id, outcome, reason or "")

    def _point(self, image: str) -> None:
        self.clients.client("ssm").put_parameter(Name=self.service.parameter, Value=image, Overwrite=True)
