"""Restore drills: AWS Backup restores the database once a month, and a function verifies the copy with SQL."""

import re

import aws_cdk as cdk
from aws_cdk import aws_backup as backup
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra_constructs.arns import arn_of
from infra_constructs.database import PARAMETERS, Database
from infra_constructs.database_logins import DatabaseLogins
from infra_constructs.findings import acknowledge, allows_on, uses_managed_policy
from infra_constructs.state_store import StateStore

# Longer than the longest verification (infra_runtime.database.drills).
_LONGEST = cdk.Duration.minutes(15)
# AWS Backup keeps an unverified copy this long. Verifying a large database takes an hour or two.
_VALIDATION_HOURS = 8
_START_WITHIN_HOURS = 8
_LONGEST_NAME = 50
_MANAGED = ("AWSBackupServiceRolePolicyForBackup", "AWSBackupServiceRolePolicyForRestores")
_SELECTION = "database"
# Names of what AWS Backup restores for a test begin with it (its guide, "Restore testing inferred metadata").
_RESTORED = "awsbackup-restore-test-*"


class DatabaseDrills(Construct):
    """AWS Backup keeps the database's continuous backup while this exists, and RDS again afterwards (docs/adr/0028).

    Stateful, as the vault is. The custom resource removes its recovery points before it is deleted.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        vpc: ec2.IVpc,
        key: kms.IKey,
        database: Database,
        logins: DatabaseLogins,
        store: StateStore,
        pitr_days: int,
    ) -> None:
        super().__init__(scope, id_)
        self.store = store
        stack = cdk.Stack.of(self)
        instance = database.instance.node.default_child
        assert isinstance(instance, rds.CfnDBInstance)
        vault = backup.BackupVault(
            self,
            "Vault",
            # CDK's own name derives from the construct's path, which another product may have, too.
            backup_vault_name=stack.stack_name,
            encryption_key=key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        role = self._role()
        # The L2 creates all of them.
        assert instance.db_instance_class
        assert instance.db_parameter_group_name
        assert instance.db_subnet_group_name
        access = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, description="PostgreSQL of restore drills", allow_all_outbound=False
        )
        access.connections.allow_from(logins.access, ec2.Port.tcp(database.port))
        plan = backup.CfnRestoreTestingPlan(
            self,
            "Plan",
            restore_testing_plan_name=re.sub(r"\W", "_", stack.stack_name)[:_LONGEST_NAME],
            # UTC: on the first of each month, after the night's backup and outside the maintenance of Sundays.
            schedule_expression="cron(0 4 1 * ? *)",
            start_window_hours=_START_WITHIN_HOURS,
            recovery_point_selection=backup.CfnRestoreTestingPlan.RestoreTestingRecoveryPointSelectionProperty(
                algorithm="LATEST_WITHIN_WINDOW",
                include_vaults=[vault.backup_vault_arn],
                recovery_point_types=["CONTINUOUS"],
                # The maximum: a continuous recovery point is as old as the first backup, and covers the time until now.
                selection_window_days=365,
            ),
        )
        backup.CfnRestoreTestingSelection(
            self,
            "Tested",
            restore_testing_plan_name=plan.restore_testing_plan_name,
            restore_testing_selection_name=_SELECTION,
            protected_resource_type="RDS",
            protected_resource_arns=[database.instance.instance_arn],
            iam_role_arn=role.role_arn,
            validation_window_hours=_VALIDATION_HOURS,
            # Names and form of lists: AWS Backup guide, "Restore testing inferred metadata".
            restore_metadata_overrides={
                "dbInstanceClass": instance.db_instance_class,
                "dbParameterGroupName": instance.db_parameter_group_name,
                "dbSubnetGroupName": instance.db_subnet_group_name,
                "multiAz": "false",
                "publiclyAccessible": "false",
                "vpcSecurityGroupIds": f'["{access.security_group_id}"]',
            },
        ).node.add_dependency(plan)
        self.handler = logins.function(
            self,
            "Handler",
            "database.drills",
            "Verifies what a restore drill has restored",
            timeout=_LONGEST,
            environment={
                "ENVIRONMENT": environment,
                "STATE_STORE": store.prefix,
                "PARAMETERS": stack.to_json_string(PARAMETERS),
                "PARAMETER_GROUP": instance.db_parameter_group_name,
                "DATABASE_ARN": database.instance.instance_arn,
                "VAULT": vault.backup_vault_name,
                "PLAN_NAME": plan.restore_testing_plan_name,
                "PLAN": plan.attr_restore_testing_plan_arn,
                "SELECTION": _SELECTION,
            },
        )
        store.grant(self.handler, writes=True)
        self._permit(vault, plan, role)
        released = self.handler.resource(
            self, "Release", kind="Custom::DatabaseDrills", properties={"Vault": vault.backup_vault_name}
        )
        self._back_up(database, vault, role, pitr_days).node.add_dependency(released)
        self._listen(database)
        self.handler.run_every(
            cdk.Duration.hours(1),
            self,
            "Hourly",
            description="Ends a restore drill if the event of its end was lost",
            event={"do": "tidy"},
        )

    def _role(self) -> iam.Role:
        """Role that AWS Backup assumes, to back up and to restore."""
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("backup.amazonaws.com"),
            managed_policies=[
                iam.ManagedPolicy.from_aws_managed_policy_name(f"service-role/{each}") for each in _MANAGED
            ],
        )
        for each in _MANAGED:
            acknowledge(
                role,
                uses_managed_policy(f"service-role/{each}"),
                reason="AWS Backup asks for what is in this policy, and AWS extends it with the service.",
            )
        return role

    def _back_up(
        self, database: Database, vault: backup.BackupVault, role: iam.Role, pitr_days: int
    ) -> backup.CfnBackupSelection:
        """Backs up with the instance's own retention: RDS then refuses to change it."""
        plan = backup.BackupPlan(
            self,
            "Backups",
            backup_plan_name=cdk.Stack.of(self).stack_name,
            backup_plan_rules=[
                backup.BackupPlanRule(
                    rule_name="continuous",
                    backup_vault=vault,
                    enable_continuous_backup=True,
                    delete_after=cdk.Duration.days(pitr_days),
                    # The beginning of the instance's own window.
                    schedule_expression=events.Schedule.cron(hour="0", minute="30"),
                )
            ],
        )
        return backup.CfnBackupSelection(
            self,
            "BackedUp",
            backup_plan_id=plan.backup_plan_id,
            backup_selection=backup.CfnBackupSelection.BackupSelectionResourceTypeProperty(
                iam_role_arn=role.role_arn, selection_name="database", resources=[database.instance.instance_arn]
            ),
        )

    def _listen(self, database: Database) -> None:
        """AWS Backup says `status` of restores and `state` of backups and copies (its guide, "Monitoring events")."""
        heard = [targets.LambdaFunction(self.handler.function)]
        events.Rule(
            self,
            "Restored",
            description="AWS Backup has ended a restore",
            event_pattern=events.EventPattern(
                source=["aws.backup"],
                detail_type=["Restore Job State Change"],
                detail={"resourceType": ["RDS"], "status": ["COMPLETED", "FAILED", "ABORTED"]},
            ),
            targets=heard,
        )
        events.Rule(
            self,
            "BackupFailed",
            description="AWS Backup could not back up the database, or copy its backup",
            event_pattern=events.EventPattern(
                source=["aws.backup"],
                detail_type=["Backup Job State Change", "Copy Job State Change"],
                detail={
                    "resourceArn": [database.instance.instance_arn],
                    "state": ["FAILED", "ABORTED", "EXPIRED"],
                },
            ),
            targets=heard,
        )

    def _permit(self, vault: backup.BackupVault, plan: backup.CfnRestoreTestingPlan, role: iam.Role) -> None:
        restored = arn_of(self, "rds", f"db:{_RESTORED}")
        points = arn_of(self, "backup", "recovery-point:*")
        for actions, resource in (
            (["rds:DescribeDBInstances", "rds:ModifyDBInstance", "rds:DeleteDBInstance"], restored),
            (["backup:DescribeBackupVault", "backup:ListRecoveryPointsByBackupVault"], vault.backup_vault_arn),
            (["backup:GetRestoreTestingSelection"], plan.attr_restore_testing_plan_arn),
            (["backup:StartRestoreJob", "backup:DisassociateRecoveryPoint"], points),
            # These support no resource-level permissions (Service Authorization Reference, "AWS Backup").
            (
                [
                    "backup:DescribeRestoreJob",
                    "backup:GetRestoreTestingInferredMetadata",
                    "backup:PutRestoreValidationResult",
                ],
                "*",
            ),
        ):
            self.handler.role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        # As in the policy of AWS's own restore testing (AWSServiceRolePolicyForBackupRestoreTesting).
        self.handler.role.add_to_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "backup.amazonaws.com"}},
            )
        )
        for resource in (restored, points):
            acknowledge(
                self.handler.policy, allows_on(resource), reason="AWS Backup names what it makes; nothing else fits."
            )
