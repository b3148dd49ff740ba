"""Who may read the media bucket: our Cloudflare zone, by a secret that only it knows."""

import json
from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.arns import objects_arn
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction
from infra_constructs.state_store import StateStore

_LETTERS = 48


class MediaAccess(Construct):
    """The only writer of the bucket's policy: CloudFormation would restore an old user agent, or none."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        bucket: s3.IBucket,
        store: StateStore,
        cloudflare_reads: bool,
        is_disposable: bool,
        sites: Sequence[str],
        request_metrics: Mapping[str, str | None],
        quarantine: Mapping[str, str],
    ) -> None:
        """With `cloudflare_reads`, the bucket admits requests from Cloudflare's addresses that have the secret.

        Pages of `sites`, hosts, may upload. `request_metrics` are the filters to set up, prefix by id, on a bucket that
        CloudFormation has not made. `quarantine` are variables of `media_quarantine`.
        """
        super().__init__(scope, id_)
        # One secret for both origins, so that an environment can change its origin: exports in use cannot be removed.
        self.secret = secretsmanager.Secret(
            self,
            "Secret",
            description="What Cloudflare shows to the media bucket: a User-Agent, or the access key that a Worker has",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                password_length=_LETTERS, exclude_punctuation=True
            ),
        )
        acknowledge(
            self.secret,
            "AwsSolutions-SMG4",
            reason="It is rotated by a schedule in the stack Edge, where the rule or the Worker that sends it is.",
        )
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="media_access",
            description="Writes the policy of the media bucket",
            timeout=cdk.Duration.minutes(15 if is_disposable else 1),  # emptying a bucket takes minutes
            environment={"STATE_STORE": store.prefix, **quarantine},
            uses_libraries=True,
        )
        store.grant(self.handler, writes=False)
        grant_policy_writing(self.handler, bucket=bucket)
        if cloudflare_reads:
            grant_user_agents(self.handler, self.secret)
            # Replaces an access key that a Worker has used: a header must never carry it.
            self.secret.grant_write(self.handler.role)
        if is_disposable:
            self._grant_emptying(bucket)
        self.handler.role.add_to_policy(
            iam.PolicyStatement(
                actions=[
                    "s3:GetBucketCORS",
                    "s3:PutBucketCORS",
                    "s3:GetBucketNotification",
                    "s3:PutBucketNotification",
                ],
                resources=[bucket.bucket_arn],
            )
        )
        if request_metrics:
            self.handler.role.add_to_policy(
                iam.PolicyStatement(actions=["s3:PutMetricsConfiguration"], resources=[bucket.bucket_arn])
            )
        properties = {
            "Bucket": bucket.bucket_name,
            **({"Secret": self.secret.secret_arn} if cloudflare_reads else {}),
        }
        self.resource = self.handler.resource(
            self,
            "Resource",
            kind="Custom::MediaAccess",
            properties={
                **properties,
                "Disposable": str(is_disposable).lower(),
                "Sites": json.dumps(list(sites)),
                # So that the policy is written when it changes.
                **({"Quarantine": quarantine["QUARANTINE"]} if quarantine else {}),
                **({"RequestMetrics": json.dumps(request_metrics)} if request_metrics else {}),
            },
        )
        self.handler.run_every(
            cdk.Duration.minutes(10),
            self,
            "Often",
            description="New ranges are let in, user agents of yesterday are not",
            event=properties,
        )

    def _grant_emptying(self, bucket: s3.IBucket) -> None:
        objects = bucket.arn_for_objects("*")
        self.handler.role.add_to_policy(
            iam.PolicyStatement(actions=["s3:ListBucketVersions"], resources=[bucket.bucket_arn])
        )
        # DeleteObjects needs s3:DeleteObject even if the request names every version (S3 API reference,
        # "DeleteObjects").
        deletes = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
        self.handler.role.add_to_policy(iam.PolicyStatement(actions=deletes, resources=[objects]))
        acknowledge(
            self.handler.policy,
            allows_on(objects_arn(self, bucket.bucket_name)),
            reason="The environment says that its media may be lost; the bucket is emptied when it goes.",
        )


def grant_policy_writing(handler: RuntimeFunction, *, bucket: s3.IBucket) -> None:
    """Input of `infra_runtime.media_access.converge`."""
    handler.role.add_to_policy(
        iam.PolicyStatement(actions=["s3:GetBucketPolicy", "s3:PutBucketPolicy"], resources=[bucket.bucket_arn])
    )


def grant_user_agents(handler: RuntimeFunction, user_agent: secretsmanager.ISecret) -> None:
    """Input of `infra_runtime.media_access.accepted_user_agents`."""
    handler.role.add_to_policy(
        iam.PolicyStatement(
            actions=["secretsmanager:GetSecretValue", "secretsmanager:ListSecretVersionIds"],
            resources=[user_agent.secret_arn],
        )
    )
