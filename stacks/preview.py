"""One slot for previews of pull requests."""

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from config import Environment, previews
from infra_constructs.container_task import Settings
from infra_constructs.media import grant_application
from infra_constructs.release.image import ReleasedImage
from infra_constructs.service import Routing
from infra_runtime.database.names import preview_names
from infra_runtime.previews.leases import ledger_name
from stacks import applications
from stacks.applications import Tenancy
from stacks.base import EnvironmentStack
from stacks.data import DataExports
from stacks.redis import RedisExports
from stacks.service import Application, Around, build_service

# Behind those of the services themselves; ten for each slot.
_FIRST_PRIORITY = 100


class PreviewStack(EnvironmentStack):
    """The services once more, without a task until somebody takes the slot (docs/adr/0015).

    What runs, how often, and for whom are values of its parameters, which a deployment leaves as they are.
    """

    def __init__(
        self,
        scope: cdk.Stage,
        id_: str,
        *,
        environment: Environment,
        slot: int,
        around: Around,
        data: DataExports,
        redis: RedisExports,
    ) -> None:
        super().__init__(scope, id_, environment=environment, description=f"Slot {slot} for previews")
        self._around, self._slot = around, slot
        self._count = cdk.CfnParameter(self, "Count", type="Number", default=0, min_value=0, max_value=1)
        lease = cdk.CfnParameter(self, "Lease", default="none", description="Whose keys in Redis are its own")
        hosts, names = previews.hosts(environment, slot), preview_names(slot)
        site, host = hosts.get("frontend", environment.domains.site), hosts["api"]
        password = {"PGPASSWORD": ecs.Secret.from_secrets_manager(data.preview_passwords[slot], "password")}
        tenancy = Tenancy(
            site=site,
            api=host,
            database=names.database,
            user=Settings(values={"PGUSER": names.user}, secrets=password),
            owner=Settings(values={"PGUSER": names.owner}, secrets=password),
            owner_login=data.preview_passwords[slot],
            key_prefix=f"preview-{lease.value_as_string}:",
        )
        api = applications.api(environment, network=around.network, data=data, redis=redis, tenancy=tenancy)
        role = self._add("Api", api, host=host, at=0)
        grant_application(data.media, role)
        if "frontend" in hosts:
            frontend = applications.frontend(environment, network=around.network, site=site, api=host)
            self._add("Frontend", frontend, host=site, at=1)

    def _add(self, id_: str, application: Application, *, host: str, at: int) -> iam.IRole:
        scope, images = Construct(self, id_), self._around.registry.images[application.name]
        built = build_service(
            scope,
            application=application,
            around=self._around,
            routing=Routing(host=host, priority=_FIRST_PRIORITY + 10 * self._slot + at),
            image=ReleasedImage.previewed(
                scope, "Image", name=f"{id_}Image", repository=images.repository, bootstrap=images.bootstrap_image
            ),
            tasks=self._count,
            # Nobody is sent here who would mind.
            bake_time=cdk.Duration.minutes(0),
            deployment_alarms=[],
            in_ledger=ledger_name(self._slot),
        )
        return built.task_definition.task_role
