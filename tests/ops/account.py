"""An account with one deployed environment, in memory, as far as `infra` reads it."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from infra_runtime.release.ledger import Ledger, Release, new_id
from tests.runtime.release.aws import IMAGE, OLD, Dynamo

PRODUCT, NAME = "daadaar", "production"
CLUSTER = "arn:aws:ecs:eu-central-1:111122223333:cluster/one"
ROLE = "arn:aws:sts::111122223333:assumed-role/Operator/zara"


class Account:
    """The services `api` and `worker` (without a load balancer), their releases, and alarms."""

    def __init__(self) -> None:
        self.dynamo = Dynamo()
        self.ledger = Ledger(self.dynamo, "releases")
        self.images = {"api": OLD, "worker": OLD}
        self.stacks = {"api": "UPDATE_COMPLETE", "worker": "UPDATE_COMPLETE"}
        self.deployments: dict[str, list[dict[str, Any]]] = {"api": [], "worker": []}
        self.alarms: list[dict[str, Any]] = []
        self.resources: dict[str, list[tuple[str, str, str]]] = {}
        """Further resources by stack: type, logical id, physical id."""
        self.maintenance: dict[str, Any] | None = None
        """The record of `infra maintenance on`."""
        self.next_deployment: dict[str, Any] | None = None
        """The deployment that UpdateService starts."""

    def released(self, service: str = "api", **changes: Any) -> Release:
        """Adds a release to the ledger, as running unless `changes` say otherwise."""
        now = changes.pop("at", datetime.now(UTC) - timedelta(seconds=30))
        plain = {
            "service": service, "id": new_id(now, f"{len(self.dynamo.items):06}"), "kind": "release", "image": IMAGE,
            "previous": OLD, "who": ROLE, "began": now.isoformat(timespec="seconds"), "template": "t",
        }  # fmt: skip
        release = Release(**(plain | changes))
        self.ledger.begin(release)
        return release

    def deploys(self, service: str = "api", *, stage: str | None = None, minutes: int = 0, **changes: Any) -> None:
        """A deployment from `OLD` to `IMAGE` that began `minutes` ago, under way unless `changes` say otherwise."""
        arn = f"arn:aws:ecs:eu-central-1:111122223333:service-deployment/one/{service}/{len(self.deployments[service])}"
        plain = {
            "serviceDeploymentArn": arn,
            "status": "IN_PROGRESS",
            "createdAt": datetime.now(UTC) - timedelta(minutes=minutes, seconds=5),
            "sourceServiceRevisions": [{"arn": OLD}],
            "targetServiceRevision": {"arn": IMAGE},
            "deploymentConfiguration": {"bakeTimeInMinutes": 10},
            **({"lifecycleStage": stage} if stage else {}),
        }
        self.deployments[service].append(plain | changes)

    def rings(
        self,
        name: str,
        description: str | None,
        *,
        minutes: int = 1,
        is_composite: bool = False,
        tells: tuple[str, ...] = ("arn:aws:sns:eu-central-1:111122223333:topic",),
    ) -> None:
        """`tells` are the notified topics."""
        moment = datetime.now(UTC) - timedelta(minutes=minutes)
        alarm = {"AlarmName": name, "StateValue": "ALARM", "StateUpdatedTimestamp": datetime.now(UTC)}
        found = {"AlarmDescription": description} if description else {}
        alarm |= {"AlarmActions": list(tells)}
        self.alarms.append({**alarm, **found, "StateTransitionedTimestamp": moment, "composite": is_composite})

    # -- boto3's interface

    def client(self, service: str) -> Any:
        return self.dynamo if service == "dynamodb" else self

    def get_paginator(self, operation: str) -> "_Pages":
        return _Pages(getattr(self, operation))

    def list_stack_resources(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803
        stack = StackName.removeprefix(f"{PRODUCT}-{NAME}-")
        known = {
            "registry": [("AWS::DynamoDB::Table", "Ledger", "releases")],
            **{each: [("AWS::ECS::Service", "Service", f"service/one/{each}")] for each in self.images},
        }
        if stack not in known and stack not in self.resources:
            raise ClientError(
                {"Error": {"Code": "ValidationError", "Message": f"Stack with id {StackName} does not exist"}},
                "ListStackResources",
            )
        found = [*known.get(stack, []), *self.resources.get(stack, [])]
        keys = ("ResourceType", "LogicalResourceId", "PhysicalResourceId")
        return {"StackResourceSummaries": [dict(zip(keys, each, strict=True)) for each in found]}

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803
        return {"Stacks": [{"StackStatus": self.stacks[StackName.rpartition("-")[2]]}]}

    def describe_services(self, *, cluster: str, services: list[str]) -> dict[str, Any]:
        name = services[0].rpartition("/")[2]
        rule = {"advancedConfiguration": {"productionListenerRule": "rule"}}
        alarms = {"alarms": {"alarmNames": ["daadaar-production-api-release-errors"]}}
        balanced = name == "api"
        return {
            "services": [
                {
                    "serviceName": name, "serviceArn": services[0], "clusterArn": CLUSTER, "runningCount": 3,
                    "desiredCount": 3, "loadBalancers": [rule] if balanced else [], "taskDefinition": OLD,
                    "deploymentConfiguration": alarms if balanced else {},
                }
            ]
        }  # fmt: skip

    def list_service_deployments(self, *, service: str, **filters: Any) -> dict[str, Any]:
        found = self.deployments[service.rpartition("/")[2]]
        if "status" in filters:
            found = [each for each in found if each["status"] in filters["status"]]
        if "createdAt" in filters:
            found = [each for each in found if each["createdAt"] >= filters["createdAt"]["after"]]
        return {"serviceDeployments": found}

    def describe_service_deployments(self, *, serviceDeploymentArns: list[str]) -> dict[str, Any]:  # noqa: N803
        every = [each for found in self.deployments.values() for each in found]
        return {"serviceDeployments": [e for e in every if e["serviceDeploymentArn"] in serviceDeploymentArns]}

    def update_service(self, *, cluster: str, service: str, forceNewDeployment: bool) -> None:  # noqa: N803
        assert (cluster, forceNewDeployment) == ("one", True)
        self.deploys(service.rpartition("/")[2], **(self.next_deployment or {}))

    def describe_service_revisions(self, *, serviceRevisionArns: list[str]) -> dict[str, Any]:  # noqa: N803
        return {"serviceRevisions": [{"taskDefinition": each} for each in serviceRevisionArns]}

    def describe_task_definition(self, *, taskDefinition: str) -> dict[str, Any]:  # noqa: N803
        return {"taskDefinition": {"containerDefinitions": [{"name": "app", "image": taskDefinition}]}}

    def describe_rules(self, *, RuleArns: list[str]) -> dict[str, Any]:  # noqa: N803
        groups = [{"TargetGroupArn": f"targetgroup/{name}/1", "Weight": w} for name, w in (("blue", 100), ("green", 0))]
        return {"Rules": [{"Actions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]}]}

    def describe_alarms(self, **asked: Any) -> dict[str, Any]:
        if "AlarmNames" in asked:
            return {"MetricAlarms": [{"AlarmName": each, "StateValue": "OK"} for each in asked["AlarmNames"]]}
        found = [each for each in self.alarms if each["AlarmName"].startswith(asked["AlarmNamePrefix"])]
        assert asked.get("StateValue", "ALARM") == "ALARM", "all of them fire"
        # Without AlarmTypes, DescribeAlarms returns no composite alarms (CloudWatch API Reference).
        composite = [each for each in found if each["composite"] and "CompositeAlarm" in asked.get("AlarmTypes", [])]
        return {"MetricAlarms": [each for each in found if not each["composite"]], "CompositeAlarms": composite}

    class exceptions:  # noqa: N801  (boto3's name)
        class ParameterNotFound(Exception):
            pass

    def get_parameter(self, *, Name: str) -> dict[str, Any]:  # noqa: N803
        if Name.endswith("/cloudflare/declared/worker/maintenance"):
            if self.maintenance is None:
                raise self.exceptions.ParameterNotFound
            return {"Parameter": {"Value": json.dumps(self.maintenance)}}
        return {"Parameter": {"Value": self.images[Name.split("/")[3]]}}


class _Pages:
    """Everything on one page."""

    def __init__(self, operation: Any) -> None:
        self._operation = operation

    def paginate(self, **request: Any) -> Iterator[Mapping[str, Any]]:
        yield self._operation(**request)
