"""Restore drills: where there are some, they fit the database; where there are none, nothing of AWS Backup is there."""

import json
from typing import Any

Templates = dict[str, dict[str, Any]]


def of_type(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in template["Resources"].values() if each["Type"] == kind]


def test_aws_backup_asks_for_the_retention_that_the_instance_has(templates: Templates) -> None:
    """RDS refuses any other one from the first backup on."""
    data = templates["production/Data"]
    (instance,) = of_type(data, "AWS::RDS::DBInstance")
    (plan,) = of_type(data, "AWS::Backup::BackupPlan")
    (rule,) = plan["BackupPlan"]["BackupPlanRule"]
    assert rule["EnableContinuousBackup"] is True
    assert rule["Lifecycle"] == {"DeleteAfterDays": instance["BackupRetentionPeriod"]}


def test_a_restored_database_has_the_same_class_and_admits_only_our_functions(templates: Templates) -> None:
    data = templates["production/Data"]
    (instance,) = of_type(data, "AWS::RDS::DBInstance")
    (selection,) = of_type(data, "AWS::Backup::RestoreTestingSelection")
    overrides = selection["RestoreMetadataOverrides"]
    assert overrides["dbInstanceClass"] == instance["DBInstanceClass"]
    assert overrides["dbParameterGroupName"] == instance["DBParameterGroupName"]
    assert overrides["dbSubnetGroupName"] == instance["DBSubnetGroupName"]
    assert (overrides["multiAz"], overrides["publiclyAccessible"]) == ("false", "false")
    ((begin, group, end),) = [overrides["vpcSecurityGroupIds"]["Fn::Join"][1]]
    assert (begin, end) == ('["', '"]')
    own = group["Fn::GetAtt"][0]
    assert own not in json.dumps(instance["VPCSecurityGroups"])
    (rule,) = [each for each in of_type(data, "AWS::EC2::SecurityGroupIngress") if own in json.dumps(each["GroupId"])]
    assert "DatabaseLogins" in json.dumps(rule["SourceSecurityGroupId"])


def test_rds_gets_its_backups_back_before_the_vault_goes(templates: Templates) -> None:
    """Backups end first, as the selection waits for what gives them back; and that refers to the vault."""
    resources = templates["production/Data"]["Resources"]
    (released,) = [name for name, each in resources.items() if each["Type"] == "Custom::DatabaseDrills"]
    (selection,) = [each for each in resources.values() if each["Type"] == "AWS::Backup::BackupSelection"]
    assert released in selection["DependsOn"]
    assert resources[resources[released]["Properties"]["Vault"]["Fn::GetAtt"][0]]["Type"] == "AWS::Backup::BackupVault"


def test_alarms_are_at_the_objectives_of_the_file_and_nowhere_without_drills(templates: Templates) -> None:
    def thresholds(name: str) -> dict[str, float]:
        alarms = of_type(templates[f"{name}/Observability"], "AWS::CloudWatch::Alarm")
        found = {each["MetricName"]: each["Threshold"] for each in alarms if each.get("Namespace") == "Infra/Database"}
        return {metric: each for metric, each in found.items() if not metric.startswith("Snapshot")}

    assert thresholds("production") == {
        "RestorePointMinutes": 15,
        "RestoreDrillFailed": 0,
        "RestoreDrillDays": 35,
        "RestoreDrillRpoMinutes": 15,
        "RestoreDrillRtoMinutes": 240,
        "BackupJobFailed": 0,
    }
    assert thresholds("dev") == {"RestorePointMinutes": 30}
    assert not [name for name in templates if name.startswith("dev/") and "AWS::Backup" in json.dumps(templates[name])]
