"""AWS Backup's continuous backup of a database and its monthly test, as resources of a template."""

from typing import Any

_TRUST = {"Effect": "Allow", "Principal": {"Service": "backup.amazonaws.com"}, "Action": "sts:AssumeRole"}
_MANAGED = [
    f"arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyFor{each}" for each in ("Backup", "Restores")
]


def continuous_backup(database: dict[str, Any], *, vault: str, plan: str) -> dict[str, Any]:
    """The resources `Vault`, `Role`, `Backups` and `BackedUp`; `database` is the instance's ARN."""
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


def restore_testing(database: dict[str, Any], *, name: str, **overrides: Any) -> dict[str, Any]:
    """`Plan` and `Tested`, of the backups in `Vault`; `overrides` are of the restored instance."""
    return {
        "Plan": {
            "Type": "AWS::Backup::RestoreTestingPlan",
            "Properties": {
                "RestoreTestingPlanName": name,
                "ScheduleExpression": "cron(0 4 1 * ? *)",
                "RecoveryPointSelection": {
                    "Algorithm": "LATEST_WITHIN_WINDOW",
                    "IncludeVaults": [{"Fn::GetAtt": ["Vault", "BackupVaultArn"]}],
                    "RecoveryPointTypes": ["CONTINUOUS"],
                },
            },
        },
        "Tested": {
            "Type": "AWS::Backup::RestoreTestingSelection",
            "DependsOn": "Plan",
            "Properties": {
                "RestoreTestingPlanName": name,
                "RestoreTestingSelectionName": "database",
                "ProtectedResourceType": "RDS",
                "ProtectedResourceArns": [database],
                "IamRoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                "ValidationWindowHours": 8,
                "RestoreMetadataOverrides": {"vpcSecurityGroupIds": '["sg-drills"]', **overrides},
            },
        },
    }
