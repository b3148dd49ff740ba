"""With restore drills, AWS Backup backs the database up continuously and restores it each month, privately."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short

PLAN = "AWS::Backup::BackupPlan"
SELECTION = "AWS::Backup::BackupSelection"
TESTED = "AWS::Backup::RestoreTestingSelection"
TESTS = "AWS::Backup::RestoreTestingPlan"
VAULT = "AWS::Backup::BackupVault"


@policy(
    reason="A backup that was never restored is unproven. A restored copy in a public subnet is exposed.",
    failure=Failure.DATA_LOST,
    reads={
        PLAN: ("BackupPlan",),
        SELECTION: ("BackupPlanId", "BackupSelection", "DependsOn"),
        TESTED: ("RestoreMetadataOverrides", "ProtectedResourceArns", "ProtectedResourceType", "RestoreTestingPlanName",
                 "IamRoleArn", "ValidationWindowHours", "DependsOn"),
        TESTS: ("RestoreTestingPlanName", "RecoveryPointSelection", "ScheduleExpression", "StartWindowHours"),
        VAULT: ("EncryptionKeyArn", "BackupVaultName", "LockConfiguration"),
        "AWS::RDS::DBInstance": (),
    },
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    wanted = graph.environment.database
    if not wanted.restore_drills:
        return
    for kind in (PLAN, SELECTION, TESTED, TESTS, VAULT):
        if len(graph.of(kind)) != 1:
            yield graph.missing(kind, f"there are {len(graph.of(kind))}, must be one", stack="Data")
    for vault in graph.of(VAULT):
        key = vault.target("EncryptionKeyArn")
        if key is None or key.type != "AWS::KMS::Key":
            yield vault.violation("EncryptionKeyArn", "must refer to the environment's key")
    for plan in graph.of(PLAN):
        rules = plan.items("BackupPlan.BackupPlanRule")
        if len(rules) != 1:
            yield plan.violation("BackupPlan.BackupPlanRule", f"has {len(rules)}, must be one")
        for rule in rules:
            if rule.get("EnableContinuousBackup") is not True:
                yield plan.violation("BackupPlan.BackupPlanRule", "is not continuous: the RPO would be a day")
            if rule.get("Lifecycle") != {"DeleteAfterDays": wanted.pitr_days}:
                yield plan.violation(
                    "BackupPlan.BackupPlanRule",
                    f"keeps {short(rule.get('Lifecycle'))}, must be {wanted.pitr_days} days",
                )
            if rule.get("ScheduleExpression") != "cron(30 0 * * ? *)":
                yield plan.violation("BackupPlan.BackupPlanRule", "must run every day, before the maintenance window")
            target = graph.target(plan.stack, rule.get("TargetBackupVault"))
            if target is None or target.type != VAULT:
                yield plan.violation("BackupPlan.BackupPlanRule", "must refer to the vault")
    for each, path in ((one, "BackupSelection.Resources") for one in graph.of(SELECTION)):
        if not [one for one in graph.referred(each.stack, each.get(path)) if one.type == "AWS::RDS::DBInstance"]:
            yield each.violation(path, "must have the database")
        if (
            each.target("BackupPlanId") is None
            or graph.target(each.stack, each.get("BackupSelection.IamRoleArn")) is None
        ):
            yield each.violation("BackupPlanId", "must refer to plan and role")
    for each in graph.of(TESTED):
        if not [
            one
            for one in graph.referred(each.stack, each.get("ProtectedResourceArns"))
            if one.type == "AWS::RDS::DBInstance"
        ]:
            yield each.violation("ProtectedResourceArns", "must have the database")
        yield from each.expect("ProtectedResourceType", "RDS")
        yield from each.expect("RestoreMetadataOverrides.publiclyAccessible", "false")
        yield from each.expect("RestoreMetadataOverrides.multiAz", "false")
        yield from each.expect("RestoreMetadataOverrides.dbInstanceClass", f"db.{wanted.instance}")
        yield from each.expect_between("ValidationWindowHours", 1, 24)
        for path, kind in (
            ("RestoreMetadataOverrides.dbSubnetGroupName", "AWS::RDS::DBSubnetGroup"),
            ("RestoreMetadataOverrides.dbParameterGroupName", "AWS::RDS::DBParameterGroup"),
            ("RestoreMetadataOverrides.vpcSecurityGroupIds", "AWS::EC2::SecurityGroup"),
            ("IamRoleArn", "AWS::IAM::Role"),
        ):
            if kind not in [one.type for one in graph.referred(each.stack, each.get(path))]:
                yield each.violation(path, f"must refer to a {kind}")
        plans = graph.of(TESTS)
        if not plans or each.get("RestoreTestingPlanName") != plans[0].get("RestoreTestingPlanName"):
            yield each.violation("RestoreTestingPlanName", "must be the plan's")
        if not plans or plans[0].logical_id not in each.items("DependsOn"):
            yield each.violation("DependsOn", "must have the plan, which it names without a reference")
    for each in graph.of(TESTS):
        yield from each.expect("ScheduleExpression", "cron(0 4 1 * ? *)")
        yield from each.expect("RecoveryPointSelection.RecoveryPointTypes", ["CONTINUOUS"])
        yield from each.expect("RecoveryPointSelection.Algorithm", "LATEST_WITHIN_WINDOW")
        yield from each.expect_between("RecoveryPointSelection.SelectionWindowDays", 30, 365)
        yield from each.expect_between("StartWindowHours", 1, 24)
        vaults = [one.type for one in graph.referred(each.stack, each.get("RecoveryPointSelection.IncludeVaults"))]
        if vaults != [VAULT]:
            yield each.violation("RecoveryPointSelection.IncludeVaults", "must be the vault")
