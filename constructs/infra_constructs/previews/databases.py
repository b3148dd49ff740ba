"""Databases of previews: the function that creates them, and the secrets with their logins."""

import json

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.database_logins import DatabaseLogins
from infra_constructs.findings import acknowledge

# Two minutes more than the longest copy (infra_runtime.database.previews).
_LONGEST = cdk.Duration.minutes(10)
_EARLY_MORNING = events.Schedule.cron(hour="3", minute="30")


class PreviewDatabases(Construct):
    """Copies of the environment's own, from a template that is created again each night (docs/adr/0015)."""

    def __init__(self, scope: Construct, id_: str, *, logins: DatabaseLogins, slots: range) -> None:
        super().__init__(scope, id_)
        self.passwords = {slot: self._secret(slot) for slot in slots}
        secrets = {str(slot): secret.secret_arn for slot, secret in self.passwords.items()}
        self.handler = logins.function(
            self,
            "Handler",
            "database.previews",
            "Makes and drops the databases of previews",
            timeout=_LONGEST,
            environment={"SLOT_SECRETS": cdk.Stack.of(self).to_json_string(secrets)},
        )
        for secret in self.passwords.values():
            secret.grant_write(self.handler.role)
        events.Rule(
            self,
            "Nightly",
            description="Refreshes the template of previews' databases; ends all connections to the database",
            schedule=_EARLY_MORNING,
            targets=[
                targets.LambdaFunction(
                    self.handler.function, event=events.RuleTargetInput.from_object({"action": "refresh"})
                )
            ],
        )

    def _secret(self, slot: int) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            self,
            f"Slot{slot}",
            description=f"Password of both logins of preview {slot}",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=json.dumps({}), generate_string_key="password", exclude_punctuation=True
            ),
        )
        acknowledge(
            secret,
            "AwsSolutions-SMG4",
            reason="Every preview gets a new password, and its database is dropped with it after days.",
        )
        return secret
