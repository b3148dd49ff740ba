"""AWS::FIS::ExperimentTemplate, FIS's API, and what its actions do to the processes of this machine."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import psutil
from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import alb, ec2, ecs, elasticache, rds

from simulators.aws import database_servers, rest_api
from simulators.aws.clock import is_live
from simulators.aws.ecs import deployment, task
from simulators.aws.fis import MINUTE_SECONDS, ExperimentFailed, Fis, FisError, Region, Undo
from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, client, register
from simulators.aws.types import replication_group

_SERVICE = "fis"
_places = AccountRegionScopedDict()
_ID = r"/(?P<identity>[A-Za-z0-9]+)"
_ROUTES = (
    ("GET", r"/experimentTemplates", "list_experiment_templates"),
    ("POST", r"/experiments", "start_experiment"),
    ("GET", rf"/experiments{_ID}", "get_experiment"),
    ("DELETE", rf"/experiments{_ID}", "stop_experiment"),
)


def fis() -> Fis:
    """FIS of the account and region that the call addresses."""
    if _SERVICE not in _places:
        prefix = f"arn:aws:fis:{get_region()}:{get_account_id()}"
        _places[_SERVICE] = Fis(prefix, _Here(), lambda: 60.0 if is_live() else MINUTE_SECONDS)
    found: Fis = _places[_SERVICE]
    return found


class _Here(Region):
    def find(self, role: str, target: Mapping[str, Any]) -> list[str]:
        if target.get("resourceArns"):
            return list(target["resourceArns"])
        return list(_FIND[target["resourceType"]](role, target))

    def act(self, role: str, action: str, arns: Sequence[str], parameters: Mapping[str, str]) -> Undo:
        return _ACT[action](role, arns, parameters)

    def trusts(self, role: str, experiment: str) -> bool:
        from simulators.aws.service_principals import can_enter

        return can_enter("fis.amazonaws.com", role, source=experiment)

    def firing(self, alarms: Any) -> bool:
        if not (names := [each.rpartition(":")[2] for each in alarms]):
            return False  # Without names, DescribeAlarms answers with all.
        found = client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
        return any(each["StateValue"] == "ALARM" for each in found)


def _as(role: str, *needs: tuple[str, str], **context: str) -> None:
    """Raises `ExperimentFailed` unless the role may do all of this: (action, resource), with these condition keys."""
    from simulators.aws.authorization import Need, denial_of

    keys = tuple(context.items())
    if denied := denial_of(role, "fis", *(Need(action, arn, keys) for action, arn in needs)):
        raise ExperimentFailed(f"Unable to perform the action. {denied}")


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{get_region()}:{get_account_id()}:{resource}"


def _nothing() -> None:
    """Does nothing: the action cannot be undone."""


def _frozen(processes: Iterable[int | None]) -> Undo:
    """Suspends servers, like a host without power: their clients wait."""
    found = [each for pid in processes for each in _tree(pid)]
    for each in found:
        with suppress(psutil.Error):
            each.suspend()

    def undo() -> None:
        for each in found:
            with suppress(psutil.Error):
                each.resume()

    return undo


def _tree(pid: int | None) -> list[psutil.Process]:
    with suppress(psutil.Error):
        if pid is not None:
            root = psutil.Process(pid)
            return [root, *root.children(recursive=True)]
    return []


# -- aws:ecs:stop-task


def _tasks(role: str, target: Mapping[str, Any]) -> Iterator[str]:
    cluster, service = (target["parameters"][each].rpartition("/")[2] for each in ("cluster", "service"))
    _as(role, ("ecs:ListTasks", "*"), **_in(cluster))
    pages = client("ecs").get_paginator("list_tasks").paginate(cluster=cluster, serviceName=service)
    yield from (arn for page in pages for arn in page["taskArns"])


def _stop_tasks(role: str, arns: Sequence[str], _: Mapping[str, str]) -> Undo:
    for arn in arns:
        cluster = arn.split("/")[1]
        _as(role, ("ecs:DescribeTasks", arn), ("ecs:StopTask", arn), **_in(cluster))
        client("ecs").stop_task(cluster=cluster, task=arn, reason="Stopped by AWS FIS")
    return _nothing


def _in(cluster: str) -> dict[str, str]:
    return {"ecs:cluster": _arn("ecs", f"cluster/{cluster}")}


# -- aws:rds:reboot-db-instances


def _reboot_databases(role: str, arns: Sequence[str], parameters: Mapping[str, str]) -> Undo:
    """With a failover, the instance does not answer for a minute ("typically 60-120 seconds", Amazon RDS user guide,
    "Failing over a Multi-AZ DB instance")."""
    _as(role, ("rds:DescribeDBInstances", "*"), *(("rds:RebootDBInstance", arn) for arn in arns))
    for arn in arns:
        instance = rds._resolve_instance(arn.rpartition(":")[2])
        if parameters.get("forceFailover") == "true" and instance["MultiAZ"]:
            _fail_over(instance)
        else:
            client("rds").reboot_db_instance(DBInstanceIdentifier=instance["DBInstanceIdentifier"])
    return _nothing


def _fail_over(instance: dict[str, Any]) -> None:
    server = database_servers.server_of(instance)
    assert server is not None
    instance["DBInstanceStatus"] = "rebooting"
    database_servers.happened(instance, "RDS-EVENT-0013", "Multi-AZ instance failover started.")
    thaw = _frozen([server.process_id])
    time.sleep(fis().minute_seconds())
    thaw()
    database_servers.restart(instance)
    instance["DBInstanceStatus"] = "available"
    database_servers.happened(instance, "RDS-EVENT-0049", "Multi-AZ instance failover completed")


# -- aws:elasticache:replicationgroup-interrupt-az-power


def _replication_groups(role: str, target: Mapping[str, Any]) -> Iterator[str]:
    """Replication groups with all of the tags."""
    _as(role, ("tag:GetResources", "*"), ("elasticache:DescribeReplicationGroups", _arn("elasticache", _GROUPS)))
    for group in list(elasticache._replication_groups.values()):
        if target["resourceTags"].items() <= _tags(group["ARN"]).items():
            yield f"{group['ARN']}@{target['parameters']['availabilityZoneIdentifier']}"


def _interrupt_power(role: str, arns: Sequence[str], _: Mapping[str, str]) -> Undo:
    """Cuts a node's power; if it is a primary, another is promoted within a minute (Amazon ElastiCache user
    guide, "Minimizing downtime in ElastiCache by using Multi-AZ"). Here one server stands for them all."""
    for each in arns:
        arn, zone = each.split("@")
        _as(
            role,
            ("elasticache:InterruptClusterAzPower", arn),
            **{f"aws:ResourceTag/{k}": v for k, v in _tags(arn).items()},
        )
        identity = arn.rpartition(":")[2]
        group = elasticache._replication_groups[identity]
        if group["MultiAZ"] != "enabled":
            raise ExperimentFailed(f"{identity}: Multi-AZ is not enabled")
        shards = [
            number
            for number, shard in enumerate(group["NodeGroups"])
            for member in shard["NodeGroupMembers"]
            if member["CurrentRole"] == "primary" and member["PreferredAvailabilityZone"] == zone
        ]
        if shards:
            thaw = _frozen(replication_group.servers[identity][number].process_id for number in shards)
            time.sleep(fis().minute_seconds() / 3)
            thaw()
            elasticache._record_event(identity, "replication-group", f"Failover from primary node in {zone} completed")
    return _nothing


_GROUPS = "replicationgroup:*"


# -- aws:network:disrupt-connectivity


def _cut_off(role: str, arns: Sequence[str], _: Mapping[str, str]) -> Undo:
    """Tasks in the subnets do not answer, and the load balancer finds them unhealthy: ECS starts others elsewhere.

    Kinder than AWS: no new task is placed in a subnet that is cut off.
    """
    subnets = [arn.rpartition("/")[2] for arn in arns]
    lists = _arn("ec2", "network-acl/*")
    vpcs = {_arn("ec2", f"vpc/{ec2._subnets[each]['VpcId']}") for each in subnets}
    asked, mark = {"aws:RequestTag/managedByFIS": "true"}, {"aws:ResourceTag/managedByFIS": "true"}
    describe = ("ec2:DescribeNetworkAcls", "ec2:DescribeSubnets", "ec2:DescribeVpcs")
    _as(role, *((each, "*") for each in describe))
    for vpc in vpcs:
        _as(role, ("ec2:CreateNetworkAcl", lists), **asked)
        _as(role, ("ec2:CreateNetworkAcl", vpc))
        _as(role, ("ec2:CreateTags", lists), **asked, **{"ec2:CreateAction": "CreateNetworkAcl"})
        _as(role, ("ec2:CreateNetworkAclEntry", lists), ("ec2:DeleteNetworkAcl", lists), **mark)
        _as(role, *(("ec2:ReplaceNetworkAclAssociation", each) for each in (*arns, lists)), **{"ec2:Vpc": vpc})
    inside = [arn for arn in list(ecs._tasks) if task.is_alive(arn) and task.subnet_of(arn) in subnets]
    task.cut_off.update(subnets)
    thaw = _frozen(pid for arn in inside for pid in task.process_ids(arn))
    database_servers.run_in_background(_found_unhealthy, inside)

    def undo() -> None:
        task.cut_off.difference_update(subnets)
        thaw()

    return undo


def _found_unhealthy(arns: Sequence[str]) -> None:
    """Fails as many health checks as each target group's threshold."""
    groups = {f"{target['Id']}": group for group, targets in alb._targets.items() for target in targets}
    began = time.monotonic()
    for arn in arns:
        if (group := groups.get(task.address_of(arn))) is None:
            continue
        checks = alb._tgs[group]
        seconds = int(checks["HealthCheckIntervalSeconds"]) * int(checks["UnhealthyThresholdCount"])
        time.sleep(max(0.0, began + seconds / 60 * fis().minute_seconds() - time.monotonic()))
        if task.subnet_of(arn) in task.cut_off:
            deployment.drain(ecs._tasks[arn])
            task.lose(arn, f"Task failed ELB health checks in (target-group {group})")
            deployment.replace(ecs._tasks[arn])


def _tags(arn: str) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in elasticache._tags.get(arn, [])}


_FIND: dict[str, Callable[[str, Mapping[str, Any]], Iterator[str]]] = {
    "aws:ecs:task": _tasks,
    "aws:elasticache:replicationgroup": _replication_groups,
}
_ACT: dict[str, Callable[[str, Sequence[str], Mapping[str, str]], Undo]] = {
    "aws:ecs:stop-task": _stop_tasks,
    "aws:rds:reboot-db-instances": _reboot_databases,
    "aws:elasticache:replicationgroup-interrupt-az-power": _interrupt_power,
    "aws:network:disrupt-connectivity": _cut_off,
}


class _ExperimentTemplate:
    name = "AWS::FIS::ExperimentTemplate"

    def create(self, properties: Properties) -> Provisioned:
        return self._put(properties)

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self._put(new, physical_id)

    def delete(self, physical_id: str, properties: Properties) -> None:
        fis().templates.pop(physical_id, None)

    @staticmethod
    def _put(properties: Properties, identity: str | None = None) -> Provisioned:
        try:
            made = fis().put_template(properties, identity)
        except FisError as error:
            raise ResourceRefused(str(error)) from None
        return Provisioned(made, {"Id": made})


def install() -> None:
    register(_ExperimentTemplate())
    handle = rest_api.handler(_ROUTES, fis, FisError, missing="ResourceNotFoundException", wrong="ValidationException")
    rest_api.install(_SERVICE, handle)
