"""Stacks whose creation failed. CDK deletes what is left of one and creates it again, but lifts no protection."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from ops.account import is_denied
from ops.doctor.finding import Finding
from ops.functions import Clients
from ops.stacks import Stack

_WHY = "the next deployment first deletes what the failed one has left, and is refused"


def not_created(clients: Clients, stack: Stack) -> Iterator[Finding]:
    """What a person has to allow first. Raises what boto3 raises.

    CDK protects a stack before it executes the change set that creates it (aws-cdk 2.1148, updateTerminationProtection;
    aws-secure-environment-accelerator #253).
    """
    cloudformation: Any = clients.client("cloudformation")
    if stack.is_protected:
        yield Finding(
            where=stack.name,
            what=f"is {stack.status}, and protected from deletion",
            why=_WHY,
            fix="aws cloudformation update-termination-protection --no-enable-termination-protection "
            f"--stack-name {stack.name}",
            # Deletes nothing, and the next deployment protects the stack again.
            repair=partial(
                cloudformation.update_termination_protection, StackName=stack.name, EnableTerminationProtection=False
            ),
        )
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack.name)
    left = {
        each["LogicalResourceId"]: each
        for page in pages
        for each in page["StackEvents"]
        if each["ResourceStatus"] == "DELETE_FAILED"
    }
    for name, event in left.items():
        if command := _unprotect(clients, event["ResourceType"], event["PhysicalResourceId"]):
            yield Finding(where=stack.name, what=f"{name} is protected from deletion", why=_WHY, fix=command)


def _unprotect(clients: Clients, kind: str, id_: str) -> str:
    """The command, unless the resource is gone or unprotected. RDS refuses a rollback (aws-samples/cdk-keycloak #217).

    Credentials that may not read the protection get the command, too: the pipeline reads no load balancer's attributes.
    """
    if kind not in _PROTECTED:
        return ""
    is_protected, command = _PROTECTED[kind]
    try:
        return command.format(id_) if is_protected(clients, id_) else ""
    except ClientError as error:
        if is_denied(error):
            return command.format(id_)
        if "NotFound" in error.response["Error"]["Code"]:
            return ""
        raise


def _database_is_protected(clients: Clients, id_: str) -> bool:
    (database,) = clients.client("rds").describe_db_instances(DBInstanceIdentifier=id_)["DBInstances"]
    return bool(database.get("DeletionProtection"))


def _balancer_is_protected(clients: Clients, arn: str) -> bool:
    found = clients.client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    return {"Key": "deletion_protection.enabled", "Value": "true"} in found


_PROTECTED = {
    "AWS::RDS::DBInstance": (
        _database_is_protected,
        "aws rds modify-db-instance --no-deletion-protection --db-instance-identifier {}",
    ),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (
        _balancer_is_protected,
        "aws elbv2 modify-load-balancer-attributes --load-balancer-arn {} "
        "--attributes Key=deletion_protection.enabled,Value=false",
    ),
}
