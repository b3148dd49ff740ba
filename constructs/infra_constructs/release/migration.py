"""Database migrations: a task of the image that is being released, before the new version serves."""

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.container_task import ContainerEnvironment, ContainerTask
from infra_constructs.release.image import ReleasedImage
from infra_runtime.contract.revision import MIGRATE, MIGRATION_CPU, MIGRATION_LABEL


@dataclass(frozen=True, kw_only=True)
class MigrationProps:
    """What an environment may choose."""

    command: Sequence[str]
    longest: cdk.Duration
    """Waiting for another migration and running, together."""


class MigrationTask(Construct):
    """Runs the command with the owner's login, which no service has; the hook does the rest (release.hooks)."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        image: ReleasedImage,
        settings: ContainerEnvironment,
        login: secretsmanager.ISecret,
        props: MigrationProps,
    ) -> None:
        super().__init__(scope, id_)
        self.image, self.settings, self.login, self.longest = image, settings, login, props.longest
        # npx writes to this folder, because the root filesystem is read-only.
        own = {"npm_config_cache": "/tmp/npm"}  # noqa: S108
        self.task = ContainerTask(
            self,
            "Task",
            name=MIGRATE,
            image=image,
            settings=ContainerEnvironment(values={**settings.values, **own}, secrets=settings.secrets),
            cpu=MIGRATION_CPU,
            memory_mib=1024,
            # Its last lines are what the ledger keeps.
            keeps_every_line=True,
            command=props.command,
        )

    @property
    def labels(self) -> dict[str, str]:
        return {MIGRATION_LABEL: self.task.definition.task_definition_arn}
