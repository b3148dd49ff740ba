"""In-memory DynamoDB, ECS and CloudWatch Logs with the calls that jobs need; they refuse what AWS refuses."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from tests.runtime.fakes import Paginator

BOOTSTRAP, REPOSITORY = "public.ecr.aws/placeholder", "111122223333.dkr.ecr.eu-central-1.amazonaws.com/api"
IMAGE = f"{REPOSITORY}@sha256:1"
CLUSTER = "cluster"


def refusal(code: str, message: str = "no", *, status: int = 400, **more: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError({**response, **more}, "Call")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 26, 3, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **time: float) -> None:
        self.now += timedelta(**time)


class Dynamo:
    """Conditions are `attribute_not_exists(id)` and comparisons of two attributes, joined by OR."""

    class exceptions:  # noqa: N801  (boto3's name)
        class ConditionalCheckFailedException(Exception):
            pass

    def __init__(self, before: Callable[[], None]) -> None:
        self.items: dict[tuple[str, str], dict[str, Any]] = {}
        self._before = before

    def put_item(self, *, TableName: str, Item: dict[str, Any], **given: Any) -> None:  # noqa: N803
        self._before()
        key = self._allowed(Item, given)
        self.items[key] = Item

    def delete_item(self, *, TableName: str, Key: dict[str, Any], **given: Any) -> None:  # noqa: N803
        self._before()
        self.items.pop(self._allowed(Key, given), None)

    def get_item(self, *, TableName: str, Key: dict[str, Any], ConsistentRead: bool) -> dict[str, Any]:  # noqa: N803
        self._before()
        assert ConsistentRead
        found = self.items.get(_key(Key))
        return {"Item": dict(found)} if found else {}

    def query(self, *, ExpressionAttributeValues: dict[str, Any], Limit: int, **given: Any) -> dict[str, Any]:  # noqa: N803
        self._before()
        assert given["KeyConditionExpression"] == "service = :j AND id < :c" and not given["ScanIndexForward"]
        job, most = (ExpressionAttributeValues[each]["S"] for each in (":j", ":c"))
        found = sorted(key for key in self.items if key[0] == job and key[1] < most)
        return {"Items": [self.items[key] for key in reversed(found)][:Limit]}

    def _allowed(self, keyed: dict[str, Any], given: dict[str, Any]) -> tuple[str, str]:
        key = _key(keyed)
        there = self.items.get(key, {})
        values = given.get("ExpressionAttributeValues", {})

        def holds(condition: str) -> bool:
            if condition == "attribute_not_exists(id)":
                return not there
            name, operator, value = condition.split()
            if name not in there:
                return False
            mine, other = there[name]["S"], values[value]["S"]
            return bool({"=": mine == other, "<": mine < other}[operator])

        if (expression := given.get("ConditionExpression")) and not any(map(holds, expression.split(" OR "))):
            raise self.exceptions.ConditionalCheckFailedException
        return key


class Ecs:
    """Tasks run until a test ends them."""

    def __init__(self, clock: Clock, before: Callable[[], None]) -> None:
        self.image = IMAGE
        self.tasks: dict[str, dict[str, Any]] = {}
        self.answers: list[Any] = []
        """Overrides the next answers of RunTask: failures, or an exception."""
        self.knows_new_tasks = True
        self.revision = 1
        """The newest of each family."""
        self._clock, self._before = clock, before
        self._tokens: dict[str, tuple[dict[str, Any], str]] = {}

    @property
    def alive(self) -> list[str]:
        return [arn for arn, each in self.tasks.items() if each["lastStatus"] != "STOPPED"]

    def run_task(self, **request: Any) -> dict[str, Any]:
        """The same token is the same task, with the same parameters (API Reference, "Idempotency")."""
        self._before()
        assert len(request["clientToken"]) <= 64
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return {"tasks": [], "failures": answer}
        if request["clientToken"] in self._tokens:
            before, arn = self._tokens[request["clientToken"]]
            if before != request:
                raise refusal("ConflictException", resourceIds=[arn])
            return {"tasks": [{"taskArn": arn}], "failures": []}
        arn = f"arn:aws:ecs:eu-central-1:111122223333:task/{CLUSTER}/{len(self.tasks) + 1}"
        self._tokens[request["clientToken"]] = (request, arn)
        self.tasks[arn] = {
            "taskArn": arn,
            "taskDefinitionArn": f"arn:aws:ecs:r:a:task-definition/{request['taskDefinition']}:{self.revision}",
            "startedBy": request["startedBy"],
            "lastStatus": "PROVISIONING",
            "desiredStatus": "RUNNING",
            # GuardDuty Runtime Monitoring adds the first one (aws-cdk #32877).
            "containers": [{"name": "aws-guardduty-agent-mfjGLB", "exitCode": 137}, {"name": "job"}],
        }
        return {"tasks": [self.tasks[arn]], "failures": []}

    def stop_task(self, *, cluster: str, task: str, reason: str) -> None:
        """The container has a while to end; the reason stays (API Reference, "StopTask")."""
        self._before()
        if self.tasks[task]["lastStatus"] != "STOPPED":
            self.tasks[task] |= {"desiredStatus": "STOPPED", "stoppedReason": reason, "stopCode": "UserInitiated"}

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> dict[str, Any]:
        self._before()
        found = [self.tasks[each] for each in tasks if each in self.tasks and self.knows_new_tasks]
        return {"tasks": found, "failures": [{"arn": each, "reason": "MISSING"} for each in tasks if not found]}

    def get_paginator(self, operation: str) -> Paginator:
        return Paginator(getattr(self, operation))

    def list_tasks(self, *, cluster: str, family: str) -> dict[str, Any]:
        """Those that are to run (API Reference, "ListTasks": `desiredStatus` is RUNNING unless given)."""
        self._before()
        of_family = [
            arn
            for arn, each in self.tasks.items()
            if each["taskDefinitionArn"].rpartition("/")[2].partition(":")[0] == family
        ]
        return {"taskArns": [arn for arn in of_family if self.tasks[arn]["desiredStatus"] == "RUNNING"]}

    def describe_task_definition(self, taskDefinition: str) -> dict[str, Any]:  # noqa: N803
        self._before()
        log = {"options": {"awslogs-group": taskDefinition.rpartition("/")[2], "awslogs-stream-prefix": "job"}}
        return {"taskDefinition": {"containerDefinitions": [
            {"name": "prepare"}, {"name": "job", "image": self.image, "logConfiguration": log},
        ]}}  # fmt: skip

    def end(self, arn: str, code: int | None = 0, **more: Any) -> dict[str, Any]:
        """The task in ECS's event."""
        found = {"stoppedReason": "Essential container in task exited", "stopCode": "EssentialContainerExited"}
        task = {**found, **self.tasks[arn], "lastStatus": "STOPPED", "desiredStatus": "STOPPED", **more}
        task["containers"] = [
            {"name": "prepare", "exitCode": 0},
            {"name": "job"} | ({} if code is None else {"exitCode": code}),
        ]
        self.tasks[arn] = task
        return task


class Logs:
    """Lines by stream. A line appears some reads after it was written."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], list[str]] = {}
        self.late = self.absent = 0
        """Number of reads for which a stream has no lines yet, or does not exist yet."""

    def get_log_events(self, *, limit: int, **stream: Any) -> dict[str, Any]:
        key = stream["logGroupName"], stream["logStreamName"]
        assert not stream["startFromHead"]
        if self.absent:
            self.absent -= 1
            raise refusal("ResourceNotFoundException", "The specified log stream does not exist.")
        if key not in self.lines:
            raise refusal("ResourceNotFoundException", "The specified log stream does not exist.")
        if self.late:
            self.late -= 1
            return {"events": []}
        return {"events": [{"message": each} for each in self.lines[key][-limit:]]}


def _key(item: dict[str, Any]) -> tuple[str, str]:
    return item["service"]["S"], item["id"]["S"]
