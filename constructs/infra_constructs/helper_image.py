"""The image that prepares tasks. ECS pulls it from the account's own registry, so tasks start while NAT is down."""

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from constructs import Construct

_UPSTREAM = "public.ecr.aws"
_NAME = "docker/library/busybox"
# For arm64 and x86_64. By tag: a cache does not import what is first pulled by its digest (aws/containers-roadmap
# #2837), and no task would start. The first import is kept: tags of the repository are immutable.
_TAG = "1.37.0-musl"
_LONGEST_PREFIX = 30


class HelperImage(Construct):
    """Not stateful: ECR fetches it again from Amazon ECR Public when it is not there.

    The first pull goes by NAT, and only that one (ECR User Guide, "Considerations for Amazon ECR VPC endpoints").
    """

    def __init__(self, scope: Construct, id_: str, *, name: str) -> None:
        """`name` is unique in the account and region: rules and repositories share names with everybody else's."""
        super().__init__(scope, id_)
        prefix = name[:_LONGEST_PREFIX].rstrip("-")
        rule = ecr.CfnPullThroughCacheRule(self, "Rule", ecr_repository_prefix=prefix, upstream_registry_url=_UPSTREAM)
        # Made here, so that no task needs to create it, and that it goes with the stack.
        self._repository = ecr.Repository(
            self,
            "Repository",
            repository_name=f"{prefix}/{_NAME}",
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            encryption=ecr.RepositoryEncryption.AES_256,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            empty_on_delete=True,
        )
        self._repository.node.add_dependency(rule)

    @property
    def uri(self) -> str:
        return f"{self._repository.repository_uri}:{_TAG}"

    def allow_pulling(self, role: iam.IRole) -> None:
        """The first time as well, when ECR imports it (ECR User Guide, "IAM permissions required to sync …")."""
        self._repository.grant_pull(role)
        self._repository.grant(role, "ecr:BatchImportUpstreamImage")
