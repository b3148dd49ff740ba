"""Migrations of the database: a task from the very image that is being released, before anything of it serves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aws_cdk as cdk
from constructs import Construct

from infra_constructs.container_task import ContainerTask, Settings
from infra_constructs.release.image import ReleasedImage
from infra_runtime.release.revision import MIGRATE, MIGRATION_LABEL

# In the task's definition and not in the image: an application need not know it.
RUNNER = (Path(__file__).parent / "migration_runner.mjs").read_text()


@dataclass(frozen=True, kw_only=True)
class MigrationProps:
    """What an environment may choose."""

    command: Sequence[str]
    longest: cdk.Duration
    """Waiting for another migration and running, together."""


class MigrationTask(Construct):
    """With the owner's login, which no service has; one at a time, as the runner holds a lock in the database."""

    def __init__(
        self, scope: Construct, id_: str, *, image: ReleasedImage, settings: Settings, props: MigrationProps
    ) -> None:
        super().__init__(scope, id_)
        # npx writes where it is told to, and the root filesystem is not to be written.
        own = {
            "MIGRATION_SECONDS": str(int(props.longest.to_seconds())),
            "npm_config_cache": "/tmp/npm",  # noqa: S108
        }
        self.task = ContainerTask(
            self,
            "Task",
            name=MIGRATE,
            image=image,
            settings=Settings(values={**settings.values, **own}, secrets=settings.secrets),
            cpu=512,
            memory_mib=1024,
            # Its last line is what the ledger keeps.
            keeps_every_line=True,
            command=["node", "--input-type=module", "-e", RUNNER, "--", *props.command],
        )

    @property
    def labels(self) -> dict[str, str]:
        return {MIGRATION_LABEL: self.task.definition.task_definition_arn}
