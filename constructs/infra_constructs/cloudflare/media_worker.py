"""Media from a private bucket through a Worker that signs its requests to S3. The alternative is `media.MediaEdge`."""

import json
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.arns import objects_arn
from infra_constructs.cloudflare.media import BROWSER_SECONDS, STATIC, MediaHostProps
from infra_constructs.cloudflare.provider import CloudflareProvider, CloudflareToken
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction
from infra_constructs.state_store import StateStore
from infra_runtime.contract.cloudflare_workers import COMPATIBILITY_DATE, MEDIA_SECONDS
from infra_runtime.contract.secret_values import REFERENCE

_SCRIPT = Path(__file__).with_suffix(".mjs")
_NAME = "media-origin"


class MediaWorker(Construct):
    """The Worker, the one IAM user that may read the bucket, and its access key, rotated monthly."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        provider: CloudflareProvider,
        token: CloudflareToken,
        store: StateStore,
        bucket: s3.IBucket,
        key: secretsmanager.ISecret,
        adopt: bool,
        props: MediaHostProps,
    ) -> None:
        """`key` is a secret that holds nothing else; its value becomes ACCESS_KEY_ID:SECRET_ACCESS_KEY."""
        super().__init__(scope, id_)
        self._bucket, self._key = bucket, key
        self._user = iam.User(self, "Reader")
        self._user.add_to_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=[bucket.arn_for_objects("*")]))
        # Without it, S3 answers 403 for a missing object, as it does for a refused key.
        self._user.add_to_policy(iam.PolicyStatement(actions=["s3:ListBucket"], resources=[bucket.bucket_arn]))
        policy = self._user.node.find_child("DefaultPolicy")
        assert isinstance(policy, iam.Policy)
        acknowledge(
            policy,
            allows_on(objects_arn(self, bucket.bucket_name)),
            reason="The edge serves every object of this one bucket, and reads nothing else.",
        )
        key.grant_read(provider.handler.role)
        self.rotation = self._rotation(token, store)
        first = self.rotation.resource(
            self,
            "FirstKey",
            kind="Custom::SigningKey",
            properties={"User": self._user.user_name, "Secret": key.secret_arn},
        )
        worker = provider.declare(
            self,
            "Worker",
            kind="worker",
            name=_NAME,
            adopt=adopt,
            script=_SCRIPT.read_text(),
            compatibility_date=COMPATIBILITY_DATE,
            cache=True,
            variables={
                "BUCKET_HOST": props.origin,
                "REGION": props.region,
                "STATIC_PATH": f"/{STATIC}",
                "EDGE_SECONDS": str(MEDIA_SECONDS),
                "BROWSER_SECONDS": str(BROWSER_SECONDS),
                "TTL_SECONDS": json.dumps({f"/{prefix}": each for prefix, each in sorted(props.ttl_seconds.items())}),
                **({"QUARANTINE_PATH": f"/{props.quarantine}"} if props.quarantine else {}),
            },
            secrets={"SIGNING_KEY": {REFERENCE: key.secret_arn}},
            patterns=[f"{props.host}/*", *(f"{site}/{STATIC}*" for site in props.sites)],
        )
        worker.node.add_dependency(policy, first)
        schedule = self.rotation.rotate(key, self, "Monthly", every=cdk.Duration.days(30))
        schedule.node.add_dependency(worker)

    def _rotation(self, token: CloudflareToken, store: StateStore) -> RuntimeFunction:
        handler = RuntimeFunction(
            self,
            "Rotation",
            module="rotate_signing_key",
            description="Rotates the access key that the media Worker signs with",
            timeout=cdk.Duration.minutes(5),
            environment={
                "TOKEN_SECRET": token.name,
                "STATE_STORE": store.prefix,
                "BUCKET": self._bucket.bucket_name,
                "USER_NAME": self._user.user_name,
                "WORKER": _NAME,
            },
            uses_libraries=True,
        )
        token.grant_read(handler)
        store.grant(handler, writes=False)
        handler.role.add_to_policy(
            iam.PolicyStatement(
                actions=["iam:ListAccessKeys", "iam:CreateAccessKey", "iam:DeleteAccessKey"],
                resources=[self._user.user_arn],
            )
        )
        acknowledge(
            handler.policy,
            allows_on("*"),
            reason="CDK lets every rotation ask for a random password, which belongs to nothing yet.",
        )
        return handler
