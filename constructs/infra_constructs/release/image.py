"""The image that a service runs, and that its migrations run from: a parameter, so that a release needs no synth."""

from typing import Literal, Self

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.arns import arn_of
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.helper_image import HelperImage

Architecture = Literal["arm64", "x86_64"]
READS_IMAGE = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
"""What reading manifest, configuration and layers of an image calls (infra_runtime.release.manifests)."""

# GuardDuty Runtime Monitoring adds a container to every Fargate task and pulls its image with the task's execution role
# (GuardDuty User Guide, "Prerequisites for Fargate support"). The account that owns the repository differs by region.
_PULLS = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
_GUARDDUTY_AGENT = "aws-guardduty-agent-fargate"


class ReleasedImage(Construct):
    """A parameter of the stack; see `released` and `previewed`."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        repository: ecr.IRepository,
        parameter: cdk.CfnParameter,
        bootstrap: str,
        architecture: Architecture,
        helper: HelperImage,
    ) -> None:
        super().__init__(scope, id_)
        self._repository = repository
        self.architecture = architecture
        self.helper = helper
        self.bootstrap = bootstrap
        self.repository_uri = repository.repository_uri
        """Released images are in it, by digest."""
        self.uri = parameter.value_as_string
        self.is_bootstrap = cdk.CfnCondition(
            self, "IsBootstrap", expression=cdk.Fn.condition_equals(self.uri, bootstrap)
        )

    @property
    def digest(self) -> str:
        """The digest without its algorithm, or `bootstrap` before the first release. Known at deployment."""
        # A second piece for the image that has no digest: Fn::Select does not know a piece that is not there.
        return cdk.Fn.select(1, cdk.Fn.split("@sha256:", f"{self.uri}@sha256:bootstrap"))

    @classmethod
    def released(
        cls,
        scope: Construct,
        id_: str,
        *,
        repository: ecr.IRepository,
        parameter_name: str,
        bootstrap: str,
        architecture: Architecture,
        helper: HelperImage,
    ) -> Self:
        """Read from an SSM parameter whenever the stack is deployed (docs/adr/0003)."""
        parameter = cdk.CfnParameter(
            scope,
            f"{id_}Image",
            type="AWS::SSM::Parameter::Value<String>",
            default=parameter_name,
            description="The image to run, by digest; released with `infra release`",
        )
        return cls(
            scope,
            id_,
            repository=repository,
            parameter=parameter,
            bootstrap=bootstrap,
            architecture=architecture,
            helper=helper,
        )

    @classmethod
    def previewed(
        cls,
        scope: Construct,
        id_: str,
        *,
        name: str,
        repository: ecr.IRepository,
        bootstrap: str,
        architecture: Architecture,
        helper: HelperImage,
    ) -> Self:
        """The parameter itself holds the image: a deployment of the template leaves it as it is (docs/adr/0015)."""
        parameter = cdk.CfnParameter(
            scope, name, default=bootstrap, description="The image to run, by digest; begun with `infra preview start`"
        )
        parameter.override_logical_id(name)
        return cls(
            scope,
            id_,
            repository=repository,
            parameter=parameter,
            bootstrap=bootstrap,
            architecture=architecture,
            helper=helper,
        )

    def allow_reading(self, role: iam.IRole) -> None:
        """Lets the role read the image's manifest and layers; it does not run the image."""
        self._repository.grant(role, *READS_IMAGE)

    def allow_pulling(self, task: ecs.FargateTaskDefinition) -> None:
        """CDK cannot see which repository the image comes from: it is only a parameter to it."""
        role, stack = task.obtain_execution_role(), cdk.Stack.of(self)
        self._repository.grant_pull(role)
        agent = arn_of(stack, "ecr", f"repository/{_GUARDDUTY_AGENT}", account="*")
        role.add_to_principal_policy(iam.PolicyStatement(actions=list(_PULLS), resources=[agent]))
        policy = role.node.find_child("DefaultPolicy")
        assert isinstance(policy, iam.Policy)
        acknowledge(policy, allows_on("*"), reason="ecr:GetAuthorizationToken cannot be limited to a repository.")
        acknowledge(policy, allows_on(agent), reason="AWS keeps the agent's repository in another account per region.")
