"""GitHub's roles for deployments, releases and previews, and the functions that they call."""

import aws_cdk as cdk
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from config import Environment, previews, variables
from config import services as services_
from infra_constructs.alarms.alarm import Topics
from infra_constructs.alarms.previews import PreviewAlarms
from infra_constructs.alarms.releases import ReleaseControlAlarms
from infra_constructs.arns import arn_of, objects_arn
from infra_constructs.cloudflare.media import STATIC
from infra_constructs.github import GitHubProvider, Workflows, deploy_role, drift_role, preview_role, release_role
from infra_constructs.previews.control import PreviewControl, PreviewSlot
from infra_constructs.release.control import ReleaseControl, Released, SentryProps
from stacks.base import EnvironmentStack
from stacks.data import DataExports
from stacks.platform import PlatformExports
from stacks.registry import RegistryExports
from stacks.service import ServiceExports
from stacks.settings import site_variables


class DeliveryStack(EnvironmentStack):
    """Access for this repository's pipeline and the applications', and the functions that start releases."""

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
            stacks=arn_of(self, "cloudformation", f"stack/{self.stack_called('*')}/*"),
        )
        for name, own in services_.released(environment).items():
            id_, repository = services_.words(name), own.repository
            assert repository is not None, "config.rules requires it"
            images, stack = registry.images[name], self.stack_called(name)
            control = ReleaseControl(
                self,
                f"{id_}Releases",
                environment=self.environment_name,
                released=Released(
                    name=name,
                    stack=stack,
                    parameter=images.parameter_name,
                    repository=images.repository,
                    architecture=images.architecture,
                    services=[services[each].service for each in services_.same_image(environment, name)],
                    database=data.database.instance if "database" in own.needs else None,
                    secrets=_stored_by_people(
                        Construct(self, f"{id_}Secrets"),
                        *(
                            variables.named_secrets(environment, each)
                            for each in services_.same_image(environment, name)
                        ),
                    ),
                ),
                ledger=registry.ledger,
                sentry=self._sentry(environment, name),
            )
            ReleaseControlAlarms(self, f"{id_}ReleaseAlarms", control=control.handler, topics=platform.topics)
            release_role(
                self,
                f"{id_}Release",
                provider=provider,
                workflows=Workflows(repository=repository, environment=services_.github_environment(environment, name)),
                service=name,
                stacks=[stack, *(self.stack_called(each) for each in ("registry", "delivery", "data"))],
                repository=images.repository,
                control=control,
                ledger=registry.ledger,
                uploads=objects_arn(self, environment.media.bucket, f"{STATIC}*") if own.site else None,
            )
            cdk.CfnOutput(
                self,
                f"{id_}Repository",
                value=images.repository.repository_uri,
                description=f"REPOSITORY in the GitHub environments of {repository}",
            )
            if own.site:
                cdk.CfnOutput(
                    self,
                    f"{id_}BuildArgs",
                    value=_build_arguments(environment, self.environment_name, name),
                    description=f"BUILD_ARGS in the GitHub environments of {repository}: for the browser's code",
                )
        if environment.previews is not None:
            self._previews(environment, provider, data=data, registry=registry, topics=platform.topics)

    def _sentry(self, environment: Environment, service: str) -> SentryProps | None:
        sentry, own = environment.sentry, environment.services[service].sentry
        if sentry is None or own is None:
            return None
        return SentryProps(
            organization=sentry.organization,
            project=own.project,
            environment=self.environment_name,
            token_secret=sentry.token_secret,
            named_by="tag" if environment.services[service].site else "digest",
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
            images={name: registry.images[name] for name in services_.previewed(environment)},
            databases=data.preview_databases,
            database=data.database.instance,
            ledger=registry.ledger,
            secrets=_stored_by_people(
                Construct(self, "PreviewSecrets"),
                *(
                    variables.named_secrets(environment, each, in_preview=True)
                    for each in services_.previewed(environment)
                ),
            ),
            lifetime=cdk.Duration.hours(environment.previews.hours),
        )
        PreviewAlarms(self, "PreviewAlarms", control=control.handler, databases=data.preview_databases, topics=topics)
        for name, own in services_.previewed(environment).items():
            repository, images = own.repository, registry.images[name]
            assert repository is not None, "config.rules requires it"
            preview_role(
                self,
                f"{services_.words(name)}Preview",
                provider=provider,
                workflows=Workflows(
                    repository=repository, environment=services_.github_preview_environment(environment, name)
                ),
                service=name,
                repository=images.repository,
                control=control,
            )


def _stored_by_people(scope: Construct, *of_services: list[str]) -> list[secretsmanager.ISecret]:
    return [
        secretsmanager.Secret.from_secret_name_v2(scope, name, name)
        for name in sorted({name for each in of_services for name in each})
    ]


def _build_arguments(environment: Environment, name: str, service: str) -> str:
    """One variable a line, as values may contain spaces."""
    return "\n".join(f"{key}={value}" for key, value in site_variables(environment, name, service).items())
