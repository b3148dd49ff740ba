"""AWS Fault Injection Service: templates, and experiments on this machine's processes.

Sources: AWS FIS user guide ("Targets for AWS FIS", "AWS FIS Actions reference", "Stop conditions"), its API reference,
and botocore's model for names and states. The reasons of failures are as people quote them, and assumed to be all.
"""

import random
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

Undo = Callable[[], None]
MINUTE_SECONDS = 2.0
"""How long a minute of an experiment takes when no alarms are evaluated meanwhile."""
POLL_SECONDS = 0.1
_MOST_STOP_CONDITIONS = 5
_DURATION = re.compile(r"PT(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?")
_SELECTION = re.compile(r"ALL|(?P<how>COUNT|PERCENT)\((?P<number>\d+)\)")


class FisError(Exception):
    """An error in the API's own form."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ExperimentFailed(Exception):
    """An experiment failed. The message is the reason."""


@dataclass(frozen=True)
class Action:
    """An action of FIS's reference."""

    resource_type: str
    takes: str
    """The action's name for its targets."""
    parameters: frozenset[str]
    lasts: bool
    """Whether it has a duration; it is undone afterwards."""


ACTIONS = {
    "aws:ecs:stop-task": Action("aws:ecs:task", "Tasks", frozenset(), lasts=False),
    "aws:rds:reboot-db-instances": Action("aws:rds:db", "DBInstances", frozenset({"forceFailover"}), lasts=False),
    "aws:elasticache:replicationgroup-interrupt-az-power": Action(
        "aws:elasticache:replicationgroup", "ReplicationGroups", frozenset({"duration"}), lasts=True
    ),
    "aws:network:disrupt-connectivity": Action(
        "aws:ec2:subnet", "Subnets", frozenset({"duration", "scope"}), lasts=True
    ),
}
# By resource type, what may stand in `parameters` of a target ("Resource parameters").
_TARGET_PARAMETERS = {
    "aws:ecs:task": {"cluster", "service"},
    "aws:ec2:subnet": {"availabilityZoneIdentifier", "vpc"},
    "aws:rds:db": {"availabilityZoneIdentifiers"},
    "aws:elasticache:replicationgroup": {"availabilityZoneIdentifier"},
}


class Region(Protocol):
    """The account and region in which FIS works."""

    def find(self, role: str, target: Mapping[str, Any]) -> list[str]:
        """ARNs that the target describes, found as the role. Raises `ExperimentFailed`."""
        ...

    def act(self, role: str, action: str, arns: Sequence[str], parameters: Mapping[str, str]) -> Undo:
        """Raises `ExperimentFailed`."""
        ...

    def trusts(self, role: str, experiment: str) -> bool:
        """Whether the role trusts FIS for the experiment of this ARN."""
        ...

    def firing(self, alarms: Collection[str]) -> bool:
        """Whether one of the alarms of these ARNs is in ALARM."""
        ...


@dataclass
class Fis:
    """One region of one account."""

    prefix: str
    """Prefix of its ARNs: arn:aws:fis:REGION:ACCOUNT."""
    region: Region
    minute_seconds: Callable[[], float]
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    _stopped: set[str] = field(default_factory=set)

    def put_template(self, properties: Mapping[str, Any], identity: str | None = None) -> str:
        """Creates it, or replaces the one of this id; as CloudFormation spells it, or the API. Raises `FisError`."""
        template = checked(properties)
        identity = identity or f"EXT{uuid4().hex[:17]}"
        arn = f"{self.prefix}:experiment-template/{identity}"
        self.templates[identity] = {**template, "id": identity, "arn": arn, "creationTime": time.time()}
        return identity

    # -- The API

    def list_experiment_templates(self, **_: Any) -> dict[str, Any]:
        return {"experimentTemplates": list(self.templates.values())}

    def start_experiment(self, *, experimentTemplateId: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        template = _known(self.templates, experimentTemplateId, "ExperimentTemplate")
        identity = f"EXP{uuid4().hex[:17]}"
        experiment: dict[str, Any] = {
            **template,
            "id": identity,
            "arn": f"{self.prefix}:experiment/{identity}",
            "experimentTemplateId": experimentTemplateId,
            "state": {"status": "initiating", "reason": "Experiment is initiating."},
            "startTime": time.time(),
            "actions": {
                name: {**each, "state": {"status": "pending", "reason": "Initial state"}}
                for name, each in template["actions"].items()
            },
        }
        self.experiments[identity] = experiment
        threading.Thread(target=copy_context().run, args=(self._run, experiment), daemon=True).start()
        return {"experiment": experiment}

    def get_experiment(self, *, identity: str) -> dict[str, Any]:
        return {"experiment": _known(self.experiments, identity, "Experiment")}

    def stop_experiment(self, *, identity: str) -> dict[str, Any]:
        experiment = _known(self.experiments, identity, "Experiment")
        self._stopped.add(identity)
        return {"experiment": experiment}

    # -- Course of an experiment

    def _run(self, experiment: dict[str, Any]) -> None:
        undo: list[Undo] = []
        try:
            self._begin(experiment, undo)
            halted = self._wait(experiment)
        except ExperimentFailed as error:
            status, reason = "failed", str(error)
        except Exception as error:
            status, reason = "failed", f"{type(error).__name__}: {error}"
        else:
            status, reason = ("stopped", halted) if halted else ("completed", "Experiment completed.")
        for each in reversed(undo):
            each()
        for action in experiment["actions"].values():
            if action["state"]["status"] in ("pending", "running"):
                action["state"] = {"status": status, "reason": f"Action was {status}"}
        experiment |= {"endTime": time.time(), "state": {"status": status, "reason": reason}}

    def _begin(self, experiment: dict[str, Any], undo: list[Undo]) -> None:
        role = experiment["roleArn"]
        if not self.region.trusts(role, experiment["arn"]):
            raise ExperimentFailed("Unable to assume role. Check the role's trust policy.")
        if self._halted(experiment):
            return
        found = {name: _select(self.region.find(role, each), each) for name, each in experiment["targets"].items()}
        experiment["state"] = {"status": "running", "reason": "Experiment is running."}
        for action in experiment["actions"].values():
            kind = ACTIONS[action["actionId"]]
            action["state"] = {"status": "running", "reason": ""}
            arns = found[action["targets"][kind.takes]]
            undo.append(self.region.act(role, action["actionId"], arns, action.get("parameters") or {}))

    def _wait(self, experiment: Mapping[str, Any]) -> str | None:
        """Waits until the experiment ends. Returns why it was stopped early, or None."""
        lasts = max(seconds_of(each, self.minute_seconds()) for each in experiment["actions"].values())
        until = time.monotonic() + lasts
        while True:
            if halted := self._halted(experiment):
                return halted
            if time.monotonic() >= until:
                return None
            time.sleep(POLL_SECONDS)

    def _halted(self, experiment: Mapping[str, Any]) -> str | None:
        if experiment["id"] in self._stopped:
            return "Experiment halted by user action."
        alarms = [each["value"] for each in experiment["stopConditions"] if each["source"] == "aws:cloudwatch:alarm"]
        return "Experiment halted by stop condition." if self.region.firing(alarms) else None


def seconds_of(action: Mapping[str, Any], minute_seconds: float) -> float:
    """How long the action lasts."""
    if not ACTIONS[action["actionId"]].lasts:
        return 0.0
    match = _DURATION.fullmatch(action["parameters"]["duration"])
    assert match is not None, "the template was checked"
    hours, minutes, seconds = (int(match[each] or 0) for each in ("hours", "minutes", "seconds"))
    return (60 * hours + minutes + seconds / 60) * minute_seconds


def checked(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Properties in the API's spelling. Raises `FisError` for what FIS would refuse."""
    template: dict[str, Any] = _camel(properties)
    if not template["stopConditions"] or len(template["stopConditions"]) > _MOST_STOP_CONDITIONS:
        raise FisError("ValidationException", "Stop conditions: between 1 and 5")
    for target in template["targets"].values():
        kind = target["resourceType"]
        ways = [key for key in ("resourceArns", "resourceTags") if target.get(key)]
        if len(ways) == 2:
            raise FisError("ValidationException", "You can't specify both a resource ID and a resource tag")
        if kind == "aws:elasticache:replicationgroup" and "resourceArns" in ways:
            raise FisError("ValidationException", f"{kind} is targeted by tags")
        if unknown := set(target.get("parameters") or {}) - _TARGET_PARAMETERS.get(kind, set()):
            raise FisError("ValidationException", f"{kind} has no parameters {sorted(unknown)}")
        if not _SELECTION.fullmatch(target["selectionMode"]):
            raise FisError("ValidationException", f"Invalid selection mode {target['selectionMode']}")
    for action in template["actions"].values():
        if (known := ACTIONS.get(action["actionId"])) is None:
            raise FisError("ResourceNotFoundException", f"Action {action['actionId']} does not exist")
        if list(action["targets"]) != [known.takes]:
            raise FisError("ValidationException", f"{action['actionId']} takes {known.takes}")
        target = template["targets"].get(action["targets"][known.takes])
        if target is None or target["resourceType"] != known.resource_type:
            raise FisError("ValidationException", f"{action['actionId']} acts on {known.resource_type}")
        given = action.get("parameters") or {}
        if set(given) - known.parameters or (known.lasts and not _DURATION.fullmatch(given.get("duration", ""))):
            raise FisError("ValidationException", f"{action['actionId']}: parameters are {sorted(known.parameters)}")
    return template


# Below these, keys are names that the caller chose.
_NAMED = {"Targets", "Actions", "Parameters", "Tags", "ResourceTags"}


def _camel(value: Any, *, are_names: bool = False) -> Any:
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    return {
        (key if are_names else f"{key[0].lower()}{key[1:]}"): _camel(
            each, are_names=not are_names and f"{key[0].upper()}{key[1:]}" in _NAMED
        )
        for key, each in value.items()
    }


def _select(arns: Sequence[str], target: Mapping[str, Any]) -> list[str]:
    """Selects targets at random; a percentage is rounded down. Raises `ExperimentFailed` if none is left."""
    match = _SELECTION.fullmatch(target["selectionMode"])
    assert match is not None, "the template was checked"
    number = int(match["number"] or 0)
    count = {"COUNT": number, "PERCENT": len(arns) * number // 100, None: len(arns)}[match["how"]]
    if not (chosen := random.sample(list(arns), min(count, len(arns)))):
        raise ExperimentFailed("Target resolution returned empty set")
    return chosen


def _known(things: Mapping[str, dict[str, Any]], identity: str, what: str) -> dict[str, Any]:
    if identity not in things:
        raise FisError("ResourceNotFoundException", f"{what} with id {identity} not found.")
    return things[identity]
