"""Rules match the events that AWS documents, and what they send is shown by e-mail, Slack and the webhook."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_sns as sns

from infra_constructs.alarms.alarm import Severity
from infra_constructs.alarms.events import CrashedTasks, DatabaseEvents, DeploymentEvents, ScanEvents
from simulators.aws.amazon_q import objection
from tests.eventbridge import matches, resolved, transformed

Rule = dict[str, Any]
TemplateOf = Callable[[Callable[[cdk.Stack], object]], assertions.Template]
CLUSTER = "arn:aws:ecs:eu-central-1:111122223333:cluster/main"

# Amazon RDS user guide, "DB instance events" of EventBridge. `SourceIdentifier` is not the bare identifier there.
FAILOVER: Mapping[str, Any] = {
    "source": "aws.rds",
    "detail-type": "RDS DB Instance Event",
    "resources": ["arn:aws:rds:eu-central-1:111122223333:db:my-db-instance"],
    "detail": {
        "EventCategories": ["failover"],
        "SourceType": "DB_INSTANCE",
        "SourceArn": "arn:aws:rds:eu-central-1:111122223333:db:my-db-instance",
        "Message": "A Multi-AZ failover has completed.",
        "SourceIdentifier": "rds:my-db-instance",
        "EventID": "RDS-EVENT-0049",
    },
}
# CloudFormation user guide, "Stack Status Change event detail".
ROLLED_BACK: Mapping[str, Any] = {
    "source": "aws.cloudformation",
    "detail-type": "CloudFormation Stack Status Change",
    "detail": {
        "stack-id": "arn:aws:cloudformation:eu-central-1:111122223333:stack/shop-production-api/6a7e8feb",
        "status-details": {"status": "UPDATE_ROLLBACK_COMPLETE", "status-reason": ""},
        "client-request-token": "",
    },
}
# ECS developer guide, "Amazon ECS task state change events".
CRASHED: Mapping[str, Any] = {
    "source": "aws.ecs",
    "detail-type": "ECS Task State Change",
    "detail": {
        "clusterArn": CLUSTER,
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "group": "service:api",
    },
}
# Fields as EventBridge's schema registry has them (CDK's pattern GuardDutyMalwareProtectionResourceStatusError).
NOT_SCANNING: Mapping[str, Any] = {
    "source": "aws.guardduty",
    "detail-type": "GuardDuty Malware Protection Resource Status Error",
    "resources": ["arn:aws:guardduty:eu-central-1:111122223333:malware-protection-plan/b4c7f464ab3a4EXAMPLE"],
    "detail": {
        "schemaVersion": "1.0",
        "eventTime": "2026-11-27T08:00:00Z",
        "s3BucketDetails": {"bucketName": "shop-media"},
        "resourceStatus": "ERROR",
        "statusReasons": [{"code": "EVENTBRIDGE_MANAGED_EVENTS_DELIVERY_DISABLED"}],
    },
}


@pytest.fixture
def rules(template_of: TemplateOf) -> dict[str, Rule]:
    def make(stack: cdk.Stack) -> None:
        topics = {severity: sns.Topic(stack, severity.capitalize()) for severity in Severity}
        vpc = ec2.Vpc.from_vpc_attributes(stack, "Vpc", vpc_id="vpc-1", availability_zones=["eu-central-1a"])
        database = rds.DatabaseInstance.from_database_instance_attributes(
            stack,
            "Database",
            instance_identifier="my-db-instance",
            instance_endpoint_address="db",
            port=5432,
            security_groups=[],
        )
        cluster = ecs.Cluster.from_cluster_attributes(
            stack, "Cluster", cluster_name="main", cluster_arn=CLUSTER, vpc=vpc, security_groups=[]
        )
        DatabaseEvents(stack, "DatabaseEvents", database=database, topics=topics)
        DeploymentEvents(stack, "DeploymentEvents", stacks="shop-production-", topics=topics)
        CrashedTasks(stack, "CrashedTasks", cluster=cluster, topics=topics)
        ScanEvents(stack, "ScanEvents", bucket="shop-media", topics=topics)

    found = template_of(make).find_resources("AWS::Events::Rule")
    return {
        next(name for name in DOCUMENTED if name in id_): resolved(rule["Properties"]) for id_, rule in found.items()
    }


DOCUMENTED = {
    "DatabaseEvents": FAILOVER,
    "DeploymentEvents": ROLLED_BACK,
    "CrashedTasks": CRASHED,
    "ScanEvents": NOT_SCANNING,
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_rule_matches_the_documented_event_and_no_other(name: str, rules: dict[str, Rule]) -> None:
    matched = [each for each, event in DOCUMENTED.items() if matches(rules[name]["EventPattern"], event)]
    assert matched == [name]


@pytest.mark.parametrize(("code", "reason", "is_notified"), [
    ("UserInitiated", "Stopped by AWS FIS", True),
    ("ServiceSchedulerInitiated", "Task failed ELB health checks in (target-group arn)", True),
    ("ServiceSchedulerInitiated", "Scaling activity initiated by deployment ecs-svc/1", False),
    ("SpotInterruption", "Your Spot Task was interrupted.", False),
])  # fmt: skip
def test_only_unexpected_ends_of_tasks_are_logged(
    code: str, reason: str, rules: dict[str, Rule], *, is_notified: bool
) -> None:
    event = {**CRASHED, "detail": {**CRASHED["detail"], "stopCode": code, "stoppedReason": reason}}
    assert matches(rules["CrashedTasks"]["EventPattern"], event) == is_notified


def test_another_database_and_another_environment_are_not_ours(rules: dict[str, Rule]) -> None:
    other = json.loads(json.dumps(FAILOVER).replace("my-db-instance", "my-db-instance2"))
    assert not matches(rules["DatabaseEvents"]["EventPattern"], other)
    other = json.loads(json.dumps(ROLLED_BACK).replace("shop-production", "shop-staging"))
    assert not matches(rules["DeploymentEvents"]["EventPattern"], other)
    other = json.loads(json.dumps(NOT_SCANNING).replace("shop-media", "shop-staging-media"))
    assert not matches(rules["ScanEvents"]["EventPattern"], other)
    fine = json.loads(json.dumps(NOT_SCANNING).replace("Status Error", "Status Active"))
    assert not matches(rules["ScanEvents"]["EventPattern"], fine)


@pytest.mark.parametrize("name", ["DatabaseEvents", "DeploymentEvents", "ScanEvents"])
def test_a_rules_message_is_displayable_and_names_its_runbook(name: str, rules: dict[str, Rule]) -> None:
    event = DOCUMENTED[name]
    (target,) = rules[name]["Targets"]
    sent = transformed(target["InputTransformer"], event)
    assert objection(sent) is None, sent
    content = json.loads(sent)["content"]
    assert content["title"].startswith("WARNING: ")
    assert any("docs/runbooks/" in each for each in content["nextSteps"])
    detail = event["detail"]
    quoted = next(detail[each] for each in ("Message", "stack-id", "resourceStatus") if each in detail)
    assert quoted in content["description"]


def test_a_bare_sentence_would_be_dropped() -> None:
    assert objection(json.dumps("WARNING: the database has failed over.")) == "a bare sentence"
