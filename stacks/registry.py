"""Image repositories, the image that each service runs, and the ledger of releases."""

from dataclasses import dataclass

import aws_cdk as cdk

from config import Environment, services
from infra_constructs.helper_image import HelperImage
from infra_constructs.images import ImageSeeder, ServiceImages
from infra_constructs.release.ledger import ReleaseLedger
from infra_runtime.contract.names import full_name, image_parameter
from stacks.base import EnvironmentStack
from stacks.retention import retention_of


@dataclass(frozen=True, kw_only=True)
class RegistryExports:
    """What later stacks take from this one."""

    images: dict[str, ServiceImages]
    """Images by service, for services with their own image."""
    ledger: ReleaseLedger
    helper: HelperImage


class RegistryStack(EnvironmentStack):
    """Stateful: image repositories, and the parameters that name the running images."""

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
                parameter_name=image_parameter(self.product, self.environment_name, service),
                bootstrap_image=environment.bootstrap_image,
                architecture=own.architecture,
                retention=retention_of(environment),
            )
            for service, own in services.released(environment).items()
        }
        ledger = ReleaseLedger(self, "Releases", retention=retention_of(environment))
        helper = HelperImage(self, "Helper", name=full_name(self.product, self.environment_name))
        self.exports = RegistryExports(images=images, ledger=ledger, helper=helper)
