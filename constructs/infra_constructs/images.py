"""Where a service's images are kept, and the pointer to the one that runs."""

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from constructs import Construct, DependencyGroup

from infra_constructs.arns import arn_of
from infra_constructs.function import RuntimeFunction
from infra_constructs.release.image import Architecture
from infra_constructs.retention import Retention
from infra_runtime.contract.releases import LISTED, RELEASE_TAG, RELEASED_TAG

_PUSHES_KEPT = 50
# More than the ledger lists, as failed attempts count, too.
_RELEASED_KEPT = 2 * LISTED
PREVIEW_TAG = "preview-"
"""Prefix of the tags of images from pull requests (.github/workflows/service-preview.yml)."""


class ImageSeeder(Construct):
    """Writes an image pointer until the first release. Afterwards it belongs to the releases."""

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(scope, id_)
        self._access = DependencyGroup()
        self._handler = RuntimeFunction(
            self,
            "Handler",
            module="image_pointer",
            description="Seeds the SSM parameters that say which image each service runs",
            timeout=cdk.Duration.minutes(1),
        )

    def seed(self, scope: Construct, id_: str, *, parameter_name: str, image: str) -> cdk.CustomResource:
        """A custom resource and not `AWS::SSM::Parameter`: every release changes the value, which CloudFormation
        would call drift and, the next time that the bootstrap image changes, undo.
        """
        pointer = self._handler.resource(
            scope, id_, kind="Custom::ImagePointer", properties={"Parameter": parameter_name, "Seed": image}
        )
        # A policy of its own: when the service leaves, the pointer is deleted after the role's policy has changed.
        access = iam.PolicyStatement(
            actions=["ssm:GetParameter", "ssm:PutParameter", "ssm:DeleteParameter"],
            resources=[arn_of(self, "ssm", f"parameter{parameter_name}")],
        )
        self._access.add(iam.Policy(scope, f"{id_}Access", roles=[self._handler.role], statements=[access]))
        # Those of other services, too: no function works before it has all of its permissions.
        pointer.node.add_dependency(self._access)
        return pointer


class ServiceImages(Construct):
    """Stateful: the images that a rollback needs are here."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        seeder: ImageSeeder,
        parameter_name: str,
        bootstrap_image: str,
        architecture: Architecture = "arm64",
        retention: Retention,
    ) -> None:
        super().__init__(scope, id_)
        self.parameter_name = parameter_name
        self.bootstrap_image = bootstrap_image
        self.architecture = architecture
        """CPU architecture of the service's tasks."""
        self.repository = ecr.Repository(
            self,
            "Repository",
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            encryption=ecr.RepositoryEncryption.AES_256,
            lifecycle_rules=[
                # First, as no later rule expires an image that fits this one, however many were pushed since (ECR User
                # Guide, "Lifecycle policy evaluation rules"). The release function sets the tag.
                ecr.LifecycleRule(
                    rule_priority=1,
                    description="What runs, and what a rollback may name",
                    tag_prefix_list=[RELEASED_TAG],
                    max_image_count=_RELEASED_KEPT,
                ),
                ecr.LifecycleRule(
                    rule_priority=2,
                    description="Layers of builds that were never tagged",
                    tag_status=ecr.TagStatus.UNTAGGED,
                    max_image_age=cdk.Duration.days(7),
                ),
                ecr.LifecycleRule(
                    rule_priority=3,
                    description="Previews, which are over by then",
                    tag_prefix_list=[PREVIEW_TAG],
                    max_image_age=cdk.Duration.days(21),
                ),
                # By a prefix of its own: a rule for any image would count previews and layers, too. Other tags stay for
                # ever.
                ecr.LifecycleRule(
                    rule_priority=4,
                    description="Pushed to be released",
                    tag_prefix_list=[RELEASE_TAG],
                    max_image_count=_PUSHES_KEPT,
                ),
            ],
            removal_policy=retention.objects,
            empty_on_delete=None if retention.is_kept else True,
        )
        seeder.seed(self, "Pointer", parameter_name=parameter_name, image=bootstrap_image)
