"""Who may deploy and release."""

import aws_cdk as cdk

from config import Environment, previews
from infra_constructs.alarms import Topics
from infra_constructs.cloudflare.media import STATIC
from infra_constructs.github import GitHubProvider, Workflows, deploy_role, drift_role, preview_role, release_role
from infra_constructs.previews.control import PreviewControl, PreviewSlot
from infra_constructs.release.control import ReleaseControl, Released, SentryProps
from infra_constructs.watch.previews import PreviewAlarms
from infra_constructs.watch.releases import ReleaseControlAlarms
from stacks import applications
from stacks.base import EnvironmentStack
from stacks.data import DataExports
from stacks.platform import PlatformExports
from stacks.registry import RegistryExports
from stacks.service import ServiceExports


class DeliveryStack(EnvironmentStack):
    """Access for this repository's own pipeline and for those of the applications; and what begins releases."""

    def __init__(
        self,
        scope: cdk.Stage,
        id_: str,
        *,
        environment: Environment,
        data: DataExports,
        platform: PlatformExports,
        registry: RegistryExports,
        services: dict[str, ServiceExports],
    ) -> None:
        super().__init__(scope, id_, environment=environment, description="Who may deploy and release, from GitHub")
        delivery = environment.delivery
        provider = GitHubProvider(self, "GitHub", is_ours=delivery.owns_oidc_provider)
        where = delivery.environment
        deploy_role(
            self,
            "Deploy",
            provider=provider,
            workflows=Workflows(repository=delivery.repository, environment=where),
            ledger=registry.ledger,
        )
        drift_role(
            self,
            "Drift",
            provider=provider,
            workflows=Workflows(repository=delivery.repository, environment=f"{where}-drift"),
        )
        repositories = {"api": delivery.backend, "frontend": delivery.frontend}
        for name, service in services.items():
            images, stack = registry.images[name], self.stack_called(name)
            control = ReleaseControl(
                self,
                f"{name.capitalize()}Releases",
                environment=self.environment_name,
                released=Released(
                    name=name,
                    stack=stack,
                    parameter=images.parameter_name,
                    repository=images.repository,
                    architecture=images.architecture,
                    service=service.service,
                    database=data.database.instance if name == "api" else None,
                ),
                ledger=registry.ledger,
                sentry=self._sentry(environment, name),
            )
            ReleaseControlAlarms(
                self, f"{name.capitalize()}ReleaseAlarms", control=control.handler, topics=platform.topics
            )
            repository = repositories[name]
            assert repository is not None, "the configuration has seen to it"
            release_role(
                self,
                f"{name.capitalize()}Release",
                provider=provider,
                workflows=Workflows(repository=repository, environment=where),
                service=name,
                stacks=[stack, *(self.stack_called(each) for each in ("registry", "delivery", "data"))],
                repository=images.repository,
                control=control,
                ledger=registry.ledger,
                uploads=f"arn:aws:s3:::{environment.media.bucket}/{STATIC}*" if name == "frontend" else None,
            )
            cdk.CfnOutput(
                self,
                f"{name.capitalize()}Repository",
                value=images.repository.repository_uri,
                description=f"REPOSITORY in the GitHub environments of {repository}",
            )
        cdk.CfnOutput(
            self,
            "FrontendBuildArgs",
            value=" ".join(f"{key}={value}" for key, value in _baked_in(environment).items()),
            description="BUILD_ARGS in the GitHub environment of the site: what Next.js bakes into the browser's code",
        )
        if environment.previews is not None:
            self._previews(environment, provider, data=data, registry=registry, topics=platform.topics)

    def _sentry(self, environment: Environment, service: str) -> SentryProps | None:
        if (sentry := environment.sentry) is None:
            return None
        project = {"api": sentry.api, "frontend": sentry.frontend}[service].project
        return SentryProps(
            organization=sentry.organization,
            project=project,
            environment=self.environment_name,
            token_secret=sentry.token_secret,
        )

    def _previews(
        self,
        environment: Environment,
        provider: GitHubProvider,
        *,
        data: DataExports,
        registry: RegistryExports,
        topics: Topics,
    ) -> None:
        delivery = environment.delivery
        assert environment.previews is not None
        assert data.preview_databases is not None
        control = PreviewControl(
            self,
            "Previews",
            slots=[
                PreviewSlot(
                    number=slot, stack=self.stack_called(f"preview{slot}"), hosts=previews.hosts(environment, slot)
                )
                for slot in previews.slots(environment)
            ],
            images=registry.images,
            databases=data.preview_databases,
            database=data.database.instance,
            ledger=registry.ledger,
            lifetime=cdk.Duration.hours(environment.previews.hours),
        )
        PreviewAlarms(self, "PreviewAlarms", control=control.handler, databases=data.preview_databases, topics=topics)
        repositories = {"api": delivery.backend, "frontend": delivery.frontend}
        for name, images in registry.images.items():
            repository = repositories[name]
            assert repository is not None, "the configuration has seen to it"
            preview_role(
                self,
                f"{name.capitalize()}Preview",
                provider=provider,
                # Not the environment of the releases: nobody approves what a pull request does here.
                workflows=Workflows(repository=repository, environment=f"{delivery.environment}-preview"),
                service=name,
                repository=images.repository,
                control=control,
            )


def _baked_in(environment: Environment) -> dict[str, str]:
    domains = environment.domains
    return applications.frontend_variables(environment, site=domains.site, api=domains.api)
