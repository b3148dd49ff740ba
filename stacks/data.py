"""Everything that keeps data: database, media bucket, their key and logins."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager

from config import Environment, previews, services
from infra_constructs import media_quarantine
from infra_constructs.cloudflare.media import STATIC
from infra_constructs.data_key import DataKey
from infra_constructs.database import Database, DatabaseProps
from infra_constructs.database_access import DatabaseAccess
from infra_constructs.database_drills import DatabaseDrills
from infra_constructs.database_logins import DatabaseLogins
from infra_constructs.database_restore import DatabaseRestore
from infra_constructs.function import RuntimeFunction
from infra_constructs.media import Media, MediaProps
from infra_constructs.media_access import MediaAccess
from infra_constructs.media_quarantine import MediaQuarantine
from infra_constructs.previews.databases import PreviewDatabases
from infra_constructs.state_store import StateStore
from stacks.base import EnvironmentStack
from stacks.network import NetworkExports
from stacks.retention import retention_of


@dataclass(frozen=True, kw_only=True)
class DataExports:
    """What later stacks take from this one."""

    key: kms.IKey
    """Encrypts everything that is stored, in later stacks as well."""
    database: Database
    logins: DatabaseLogins
    drills: DatabaseDrills | None
    media: s3.IBucket
    media_access: MediaAccess
    quarantine: MediaQuarantine | None
    preview_passwords: dict[int, secretsmanager.ISecret]
    """Password secrets by slot; empty without previews."""
    preview_databases: RuntimeFunction | None
    """Function that creates and drops the databases of previews."""


class DataStack(EnvironmentStack):
    """Stateful and seldom deployed. Later stacks know it; it knows only the network."""

    def __init__(self, scope: cdk.Stage, id_: str, *, environment: Environment, network: NetworkExports) -> None:
        super().__init__(
            scope, id_, environment=environment, description="PostgreSQL and the media bucket", protected=True
        )
        retention = retention_of(environment)
        key = DataKey(self, "Key", retention=retention).key
        database = Database(
            self,
            "Database",
            vpc=network.vpc,
            key=key,
            clients=[
                network.access[name] for name, each in services.on_ecs(environment).items() if "database" in each.needs
            ],
            props=DatabaseProps(
                version=environment.database.version,
                instance_type=ec2.InstanceType(environment.database.instance),
                multi_az=environment.database.multi_az,
                storage_gib=environment.database.storage_gib,
                max_storage_gib=environment.database.max_storage_gib,
                pitr_days=environment.database.pitr_days,
                insights=environment.database.insights,
                retention=retention,
            ),
        )
        logins = DatabaseLogins(
            self,
            "DatabaseLogins",
            vpc=network.vpc,
            database=database,
            longest_statement=cdk.Duration.minutes(
                max((each.migrations.minutes for each in environment.services.values() if each.migrations), default=30)
            ),
        )
        DatabaseRestore(self, "DatabaseRestore", logins=logins)
        DatabaseAccess(self, "DatabaseAccess", logins=logins)
        drills = (
            DatabaseDrills(
                self,
                "DatabaseDrills",
                environment=self.environment_name,
                vpc=network.vpc,
                key=key,
                database=database,
                logins=logins,
                store=StateStore(product=self.product, environment=self.environment_name, about="restore"),
                pitr_days=environment.database.pitr_days,
            )
            if environment.database.restore_drills
            else None
        )
        copies = (
            PreviewDatabases(self, "PreviewDatabases", logins=logins, slots=previews.slots(environment))
            if environment.previews
            else None
        )
        media = Media(
            self,
            "Media",
            store=self.edge_store,
            props=MediaProps(
                bucket_name=environment.media.bucket,
                adopt=environment.media.adopt,
                cloudflare_reads=environment.media.origin == "connector",
                retention=retention,
                sites=previews.site_hosts(environment),
                static=STATIC if services.hosts_with_static_files(environment) else None,
                quarantine=media_quarantine.variables(
                    environment.media.quarantine, account=self.account, stack=self.stack_name
                ),
            ),
        )
        quarantine = (
            MediaQuarantine(
                self,
                media_quarantine.ID,
                bucket=media.bucket,
                prefix=environment.media.quarantine,
                environment=self.environment_name,
            )
            if environment.media.quarantine
            else None
        )
        if quarantine is not None:
            # Scans begin only after reading of uploads is denied.
            quarantine.plan.node.add_dependency(media.access.resource)
        self.exports = DataExports(
            key=key,
            database=database,
            logins=logins,
            drills=drills,
            media=media.bucket,
            media_access=media.access,
            quarantine=quarantine,
            preview_passwords=dict(copies.passwords) if copies else {},
            preview_databases=copies.handler if copies else None,
        )
