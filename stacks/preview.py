"""One slot for previews of pull requests."""

import aws_cdk as cdk
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from config import Environment, services
from infra_constructs.container_task import ContainerEnvironment, SecretValue
from infra_constructs.release.image import ReleasedImage
from infra_runtime.contract.database_names import OWNER_URL, URL, preview_names
from infra_runtime.contract.releases import preview_service
from stacks.base import EnvironmentStack
from stacks.service import ServiceContext, build_service
from stacks.settings import Bindings, Sources


class PreviewStack(EnvironmentStack):
    """A second copy of the services, without tasks until a pull request takes the slot (docs/adr/0015).

    What runs, how often, and for whom are values of its parameters, which a deployment leaves as they are.
    """

    def __init__(
        self,
        scope: cdk.Stage,
        id_: str,
        *,
        environment: Environment,
        slot: int,
        context: ServiceContext,
    ) -> None:
        super().__init__(scope, id_, environment=environment, description=f"Slot {slot} for previews")
        self._context, self._slot = context, slot
        self._count = cdk.CfnParameter(self, "Count", type="Number", default=0, min_value=0, max_value=1)
        lease = cdk.CfnParameter(self, "Lease", default="none", description="Whose keys in Redis are its own")
        data, names = context.data, preview_names(slot)
        bindings = Bindings(
            database=names.database,
            user=_login(names.user, data.preview_passwords[slot], URL),
            owner=_login(names.owner, data.preview_passwords[slot], OWNER_URL),
            owner_login=data.preview_passwords[slot],
            slot=slot,
            key_prefix=f"preview-{lease.value_as_string}:",
        )
        sources = Sources(
            environment=environment, name=self.environment_name, data=data, redis=context.redis, bindings=bindings
        )
        for service in services.previewed(environment):
            self._add(service, sources)

    def _add(self, service: str, sources: Sources) -> None:
        id_, images = services.words(service), self._context.registry.images[service]
        scope = Construct(self, id_)
        image = ReleasedImage.previewed(
            scope,
            "Image",
            name=f"{id_}Image",
            repository=images.repository,
            bootstrap=images.bootstrap_image,
            architecture=images.architecture,
            helper=self._context.registry.helper,
        )
        build_service(
            scope,
            service=service,
            sources=sources,
            context=self._context,
            image=image,
            settings=sources.service(Construct(scope, "Settings"), service, image=image),
            tasks=self._count,
            # No user is routed to a preview.
            bake_time=cdk.Duration.minutes(0),
            deployment_alarms=[],
            ledger_name=preview_service(self._slot),
        )


def _login(username: str, secret: secretsmanager.ISecret, url: str) -> ContainerEnvironment:
    """Both logins of a slot share the password of its secret; `url` is the field with the login's URL."""
    fields = {"PGPASSWORD": "password", "DATABASE_URL": url}
    return ContainerEnvironment(
        values={"PGUSER": username},
        secrets={name: SecretValue(secret, field) for name, field in fields.items()},
    )
