"""Logins of the database: the owner's, for migrations, and the application's; each in a secret, and rotated."""

import json
from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.arns import arn_of
from infra_constructs.database import Database
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import InVpc, RuntimeFunction
from infra_runtime.contract.database_names import MASTER_DURING_UPGRADES, OWNER, USER, first_login

# Readers queue behind a statement that waits for an exclusive lock: no longer than this.
_LOCK_WAIT = cdk.Duration.seconds(2)
_ROTATION = cdk.Duration.days(30)
_TIMEOUT = cdk.Duration.minutes(2)


class DatabaseLogins(Construct):
    """Stateful, as its secrets are. Each secret alternates between two logins (docs/adr/0013)."""

    def __init__(
        self, scope: Construct, id_: str, *, vpc: ec2.IVpc, database: Database, longest_statement: cdk.Duration
    ) -> None:
        super().__init__(scope, id_)
        self._vpc, self._database = vpc, database
        self.access = ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=vpc,
            description="Functions that make and rotate logins of the database",
            allow_all_outbound=False,
        )
        self.access.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "Secrets Manager and RDS")
        database.allow_from(self.access)
        self._master = self._master_during_upgrades()
        self.owner = self._secret("Owner", OWNER)
        self.user = self._secret("User", USER)
        maker = self.function(self, "Maker", "database.logins", "Creates the roles and logins of the database")
        for secret in (self.owner, self.user):
            secret.grant_read(maker.role)
            secret.grant_write(maker.role)
        instance = database.instance
        self.limits = {
            "lock_ms": int(_LOCK_WAIT.to_milliseconds()),
            "statement_ms": int(longest_statement.to_milliseconds()),
        }
        declared = {
            # If the address changes, the URLs in the secrets change.
            "address": f"{instance.db_instance_endpoint_address}:{database.port}/{database.name}",
            "logins": [self.owner.secret_arn, self.user.secret_arn],
            "limits": self.limits,
        }
        made = maker.resource(
            self,
            "Roles",
            kind="Custom::DatabaseLogins",
            properties={"Declared": cdk.Stack.of(self).to_json_string(declared)},
        )
        made.node.add_dependency(database, self.access)
        self.rotation = self.function(self, "Rotation", "database.rotation", "Rotates the logins of the database")
        self.rotation.role.add_to_policy(
            iam.PolicyStatement(actions=["secretsmanager:GetRandomPassword"], resources=["*"])
        )
        for name, secret in (("OwnerMonthly", self.owner), ("UserMonthly", self.user)):
            self.rotation.rotate(secret, self, name, every=_ROTATION).node.add_dependency(made)

    def _master_during_upgrades(self) -> secretsmanager.Secret:
        """RDS makes no blue/green deployment of a database whose password it manages (docs/adr/0030)."""
        secret = secretsmanager.Secret(
            self,
            "MasterDuringUpgrades",
            description="Master login of the database while RDS does not manage it: during a major upgrade",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=json.dumps({"username": self._database.master_username}),
                generate_string_key="password",
                password_length=40,
                exclude_punctuation=True,
            ),
        )
        acknowledge(
            secret,
            "AwsSolutions-SMG4",
            reason="It is valid during an upgrade only, and each upgrade begins with a new password.",
        )
        return secret

    def _secret(self, id_: str, group: str) -> secretsmanager.Secret:
        return secretsmanager.Secret(
            self,
            id_,
            description=f"Login of the database, in the group {group}",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=json.dumps({"username": first_login(group)}),
                generate_string_key="password",
                password_length=40,
                exclude_punctuation=True,
            ),
        )

    def function(
        self,
        scope: Construct,
        id_: str,
        module: str,
        description: str,
        *,
        timeout: cdk.Duration = _TIMEOUT,
        environment: Mapping[str, str] | None = None,
    ) -> RuntimeFunction:
        """A function that may use the master login."""
        database = self._database
        function = RuntimeFunction(
            scope,
            id_,
            module=module,
            description=description,
            timeout=timeout,
            environment={
                "PGHOST": database.instance.db_instance_endpoint_address,
                "PGPORT": str(database.port),
                "PGDATABASE": database.name,
                "DATABASE": database.instance.instance_identifier,
                MASTER_DURING_UPGRADES: self._master.secret_arn,
                **(environment or {}),
            },
            uses_libraries=True,
            place=InVpc(vpc=self._vpc, security_group=self.access),
        )
        self._admit_master(function)
        self._master.grant_read(function.role)
        return function

    def _admit_master(self, function: RuntimeFunction) -> None:
        """Lets it read the master logins of the serving instance and of those that a restore made or replaced.

        RDS makes and names a secret for each, and tags it with the ARN of the instance. CloudFormation knows the first
        one only.
        """
        stack = cdk.Stack.of(self)
        restored = arn_of(self, "rds", f"db:{stack.stack_name}-*")
        instances = [self._database.instance.instance_arn, restored]
        secrets = arn_of(self, "secretsmanager", "secret:rds!db-*")
        function.role.add_to_policy(iam.PolicyStatement(actions=["rds:DescribeDBInstances"], resources=instances))
        function.role.add_to_policy(
            iam.PolicyStatement(
                actions=["secretsmanager:GetSecretValue"],
                resources=[secrets],
                conditions={"StringLike": {"aws:ResourceTag/aws:rds:primaryDBInstanceArn": instances}},
            )
        )
        acknowledge(function.policy, allows_on(restored), reason="It only reads; `infra restore` names the instances.")
        acknowledge(function.policy, allows_on(secrets), reason="The condition leaves those of this stack's instances.")
