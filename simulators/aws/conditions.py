"""Conditions of real accounts that a plain emulator lacks. Each is on unless a rehearsal turns it off by its name.

A condition is added here together with the code that simulates it and the source that says how AWS behaves.
"""

import os
from collections.abc import Collection
from enum import StrEnum

WITHOUT = "REHEARSAL_WITHOUT"
"""Environment variable of the emulator: the conditions that are off, separated by commas."""


class Condition(StrEnum):
    """The value is the switch's name on the command line."""

    IAM = "iam"
    """Every call is authorized against the policies of the account (AWS, "Policy evaluation logic")."""
    SIDECARS = "sidecars"
    """Each Fargate task has an additional container, as with GuardDuty Runtime Monitoring (aws-cdk #32877).

    Assumed: its position in the list, and its exit code.
    """
    PAGINATION = "pagination"
    """Lists come in small pages: a service may return "fewer results than the maximum" (API references)."""
    REORDERING = "reordering"
    """Lists come in another order each time, unless the API reference promises one."""
    MIXED_CASE_NAMES = "mixed-case-names"
    """The DNS name of a load balancer that CloudFormation names has capital letters (external-dns #1906)."""
    THROTTLING = "throttling"
    """A share of all calls fails once with "Rate exceeded", at S3 with 503 (each API's "Common errors")."""
    AMI_CHANGES = "ami-changes"
    """The parameter of the newest Amazon Linux changes with each read; AWS changes it every week or two."""
    ENHANCED_SCANNING = "enhanced-scanning"
    """Inspector scans images: DescribeImages does not show it (containers-roadmap #1662), and the scan's status stays
    ACTIVE (aws-cli #6759).
    """
    EVENTUAL_CONSISTENCY = "eventual-consistency"
    """A DynamoDB read misses the last write unless it is consistent (its guide, "DynamoDB read consistency"), ECS does
    not describe a task that has just begun (API reference, "RunTask"), and a vault of AWS Backup counts recovery points
    for seconds after they are gone (terraform-provider-aws #37774; for what is disassociated assumed).
    """
    QUOTAS = "quotas"
    """The quotas of a new account, until AWS grants a request (AWS General Reference, "Service endpoints and quotas";
    for Lambda: awslabs/fhir-works-on-aws-deployment #691).
    """
    SERVICE_LINKED_ROLES = "service-linked-roles"
    """A new account has none, and the first resource of a service fails without it (cloudformation-coverage-roadmap
    #818 for ECS; crossplane-contrib/provider-aws #479 for RDS).
    """
    FREE_PLAN = "free-plan"
    """A new account is on the free plan, on which RDS creates only small databases (yc-software/qm #352)."""
    COST_EXPLORER = "cost-explorer"
    """It is off until a person opens it in the console, and its anomaly monitors are refused (Cost Management user
    guide, "Setting up your anomaly detection").
    """
    SLACK = "slack"
    """Amazon Q refuses a channel until a person authorizes its workspace in the console (CloudFormation reference,
    AWS::Chatbot::SlackChannelConfiguration).
    """


def is_on(condition: Condition) -> bool:
    return condition not in os.environ.get(WITHOUT, "").split(",")


def parse(names: Collection[str]) -> frozenset[Condition]:
    """Raises `ValueError`, naming the unknown one and all that exist."""
    known = {each.value for each in Condition}
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r}: expected one of {', '.join(sorted(known))}")
    return frozenset(Condition(name) for name in names)
