"""AWS Backup's continuous backup of a database, as resources of a template."""

from typing import Any

_TRUST = {"Effect": "Allow", "Principal": {"Service": "backup.amazonaws.com"}, "Action": "sts:AssumeRole"}
_MANAGED = [
    f"arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyFor{each}" for each in ("Backup", "Restores")
]


def continuous_backup(database: dict[str, Any], *, vault: str, plan: str) -> dict[str, Any]:
    """`Vault`, `Role`, `Backups` and `BackedUp`; `database` is the instance's ARN."""
    rule = {
        "RuleName": "continuous",
        "TargetBackupVault": {"Ref": "Vault"},
        "EnableContinuousBackup": True,
        "Lifecycle": {"DeleteAfterDays": 7},
    }
    return {
        "Vault": {"Type": "AWS::Backup::BackupVault", "Properties": {"BackupVaultName": vault}},
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "RoleName": "backup",
                "AssumeRolePolicyDocument": {"Statement": [_TRUST]},
                "ManagedPolicyArns": _MANAGED,
            },
        },
        "Backups": {
            "Type": "AWS::Backup::BackupPlan",
            "Properties": {"BackupPlan": {"BackupPlanName": plan, "BackupPlanRule": [rule]}},
        },
        "BackedUp": {
            "Type": "AWS::Backup::BackupSelection",
            "Properties": {
                "BackupPlanId": {"Ref": "Backups"},
                "BackupSelection": {
                    "SelectionName": "database",
                    "IamRoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                    "Resources": [database],
                },
            },
        },
    }
