"""Where the images are, and the ledger of their releases."""

from dataclasses import dataclass

import aws_cdk as cdk

from config import Environment, services
from infra_constructs.images import ImageSeeder, ServiceImages
from infra_constructs.release.ledger import ReleaseLedger
from stacks.base import EnvironmentStack
from stacks.retention import retention_of


@dataclass(frozen=True, kw_only=True)
class RegistryExports:
    """What later stacks take from this one."""

    images: dict[str, ServiceImages]
    """By service, of those with an image of their own."""
    ledger: ReleaseLedger


class RegistryStack(EnvironmentStack):
    """Stateful: repositories, and the pointers to the images that run."""

    def __init__(self, scope: cdk.Stage, id_: str, *, environment: Environment) -> None:
        super().__init__(
            scope,
            id_,
            environment=environment,
            description="Container images of the services, and their releases",
            protected=True,
        )
        seeder = ImageSeeder(self, "Seeder")
        images = {
            service: ServiceImages(
                self,
                services.words(service),
                seeder=seeder,
                # Named by contract: `infra release` and the application's pipelines write it.
                parameter_name=f"/{self.product}/{self.environment_name}/{service}/image",
                bootstrap_image=environment.bootstrap_image,
                retention=retention_of(environment),
            )
            for service in services.released(environment)
        }
        ledger = ReleaseLedger(self, "Releases", retention=retention_of(environment))
        self.exports = RegistryExports(images=images, ledger=ledger)
