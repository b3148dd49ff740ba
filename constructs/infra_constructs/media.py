"""The media bucket: private, versioned, and outliving everything else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra_constructs.arns import objects_arn
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.media_access import MediaAccess
from infra_constructs.retention import Retention
from infra_constructs.state_store import StateStore

# Name of the filter over all objects; without it, S3 counts neither requests nor bytes.
REQUEST_METRICS = "EntireBucket"
# And of the filter over the sites' static files, to distinguish it from media.
STATIC_METRICS = "StaticFiles"


@dataclass(frozen=True, kw_only=True)
class MediaProps:
    """What an environment may choose."""

    bucket_name: str
    adopt: bool
    cloudflare_reads: bool
    """Cloudflare reads anonymously, by its addresses and the secret user agent. False if a Worker signs requests."""
    retention: Retention
    sites: Sequence[str]
    """Hosts whose pages upload."""
    static: str | None
    """Prefix of the sites' static files, if they are in the bucket, too."""
    quarantine: Mapping[str, str]
    """Variables of `media_quarantine`, for what writes the bucket's policy; none without a quarantine."""

    @property
    def request_metrics(self) -> Mapping[str, str | None]:
        """Prefix by id of the filter."""
        return {REQUEST_METRICS: None, **({STATIC_METRICS: self.static} if self.static else {})}


class Media(Construct):
    """Stateful. The bucket's name is the application's contract, hence physical."""

    def __init__(self, scope: Construct, id_: str, *, store: StateStore, props: MediaProps) -> None:
        super().__init__(scope, id_)
        created = None if props.adopt else self._create(props)
        # By its name, which is known: later stacks then depend on no export, and their policies can be read.
        self.bucket = s3.Bucket.from_bucket_name(self, "ByName", props.bucket_name)
        self.access = MediaAccess(
            self,
            "Access",
            bucket=self.bucket,
            store=store,
            cloudflare_reads=props.cloudflare_reads,
            sites=props.sites,
            is_disposable=not (props.adopt or props.retention.is_kept),
            request_metrics=props.request_metrics if props.adopt else {},
            quarantine=props.quarantine,
        )
        if created is not None:
            self.access.resource.node.add_dependency(created)

    def _create(self, props: MediaProps) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=props.bucket_name,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            # Not KMS: Cloudflare fetches without an AWS identity, and such requests cannot use a key.
            encryption=s3.BucketEncryption.S3_MANAGED,
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="forget-what-was-replaced",
                    noncurrent_version_expiration=cdk.Duration.days(90),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
                    expired_object_delete_marker=True,
                )
            ],
            removal_policy=props.retention.only_one,
            metrics=[s3.BucketMetrics(id=id_, prefix=prefix) for id_, prefix in props.request_metrics.items()],
        )
        acknowledge(
            bucket,
            "AwsSolutions-S10",
            reason="Its policy, plain HTTP denied first of all, has one writer at run time: media_access.py.",
        )
        acknowledge(
            bucket,
            "AwsSolutions-S1",
            reason="Readers are Cloudflare's caches, whose requests Cloudflare counts; S3 would log only its misses.",
        )
        return bucket


def grant_application(bucket: s3.IBucket, role: iam.IRole) -> None:
    """What the application does with media: read, write, delete. Old versions stay out of its reach."""
    objects = bucket.arn_for_objects("*")
    grant = iam.Grant.add_to_principal(
        grantee=role,
        actions=["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
        resource_arns=[objects],
    )
    grant.assert_success()
    policy = role.node.find_child("DefaultPolicy")
    assert isinstance(policy, iam.Policy)
    acknowledge(
        policy,
        allows_on(objects_arn(role, bucket.bucket_name)),
        reason="The application owns every object of this one bucket.",
    )
