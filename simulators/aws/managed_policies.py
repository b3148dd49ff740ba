"""AWS's own managed policies that MiniStack lacks, as the AWS Managed Policy Reference prints them."""

import json
from collections.abc import Mapping
from typing import Any

from ministack.services import iam

_BALANCING = "arn:aws:elasticloadbalancing:*:*"
_LOGS = "arn:aws:logs:*:*:log-group:RDS*"
_POLICIES: Mapping[str, list[dict[str, Any]]] = {
    # Version 2 of July 2025. AWS extends it (version 6 in February 2026): a rehearsal may ask for less than it grants.
    "AmazonECSInfrastructureRolePolicyForLoadBalancers": [
        {
            "Action": [
                "elasticloadbalancing:DescribeListeners",
                "elasticloadbalancing:DescribeRules",
                "elasticloadbalancing:DescribeTargetGroups",
                "elasticloadbalancing:DescribeTargetHealth",
            ],
            "Resource": "*",
        },
        {
            "Action": ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"],
            "Resource": f"{_BALANCING}:targetgroup/*/*",
        },
        {
            "Action": "elasticloadbalancing:ModifyListener",
            "Resource": [f"{_BALANCING}:listener/app/*/*/*", f"{_BALANCING}:listener/net/*/*/*"],
        },
        {"Action": "elasticloadbalancing:ModifyRule", "Resource": f"{_BALANCING}:listener-rule/app/*/*/*/*"},
    ],
    # Only the statements about RDS instances of the next two policies.
    "service-role/AWSBackupServiceRolePolicyForBackup": [
        {
            "Action": [
                "rds:AddTagsToResource",
                "rds:ListTagsForResource",
                "rds:DescribeDBSnapshots",
                "rds:CreateDBSnapshot",
                "rds:CopyDBSnapshot",
                "rds:DescribeDBInstances",
                "rds:ModifyDBInstance",
            ],
            "Resource": "*",
        },
    ],
    "service-role/AWSBackupServiceRolePolicyForRestores": [
        {
            "Action": [
                "rds:DescribeDBInstances",
                "rds:DescribeDBSnapshots",
                "rds:ListTagsForResource",
                "rds:RestoreDBInstanceFromDBSnapshot",
                "rds:DeleteDBInstance",
                "rds:AddTagsToResource",
                "rds:RestoreDBInstanceToPointInTime",
            ],
            "Resource": "*",
        },
    ],
    "service-role/AmazonRDSEnhancedMonitoringRole": [
        {"Action": ["logs:CreateLogGroup", "logs:PutRetentionPolicy"], "Resource": _LOGS},
        {
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams", "logs:GetLogEvents"],
            "Resource": f"{_LOGS}:log-stream:*",
        },
    ],
}


def install() -> None:
    for name, statements in _POLICIES.items():
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]}
        made = iam._make_aws_managed_record(name, json.dumps(document))
        iam._aws_managed_policies.setdefault(made["Arn"], made)
