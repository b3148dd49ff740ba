"""Only our own zone may speak to the load balancer: mutual TLS under our own CA."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareToken
from infra_constructs.findings import acknowledge
from infra_constructs.function import RuntimeFunction

_KEY = "ca.pem"


class OriginLock(Construct):
    """The trust store requires a certificate that Cloudflare already shows: the listener depends on that.

    The CA lives in one secret, made at the first deployment; the client certificate's key is with Cloudflare alone.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        token: CloudflareToken,
        owner: str,
        zone: str,
        hosts: Sequence[str],
        adopt: bool,
    ) -> None:
        super().__init__(scope, id_)
        authority = secretsmanager.Secret(
            self,
            "Authority",
            description="CA of the client certificates that Cloudflare shows; made by a function",
            # Until then a value that cannot be mistaken for the JSON of a CA.
            generate_secret_string=secretsmanager.SecretStringGenerator(exclude_punctuation=True),
        )
        acknowledge(
            authority,
            "AwsSolutions-SMG4",
            reason="The CA lasts ten years; what rotates is the client certificate, every eight months, by schedule.",
        )
        bucket = s3.Bucket(
            self,
            "Trust",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            versioned=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            auto_delete_objects=True,
        )
        acknowledge(
            bucket, "AwsSolutions-S1", reason="One public certificate, read by the trust store when it is made."
        )
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="origin_lock",
            description="Keeps a client certificate of our CA in use at Cloudflare",
            timeout=cdk.Duration.minutes(5),
            environment={"TOKEN_SECRET": token.name},
            uses_libraries=True,
        )
        token.grant_read(self.handler)
        authority.grant_read(self.handler.role)
        authority.grant_write(self.handler.role)
        self.handler.role.add_to_policy(
            iam.PolicyStatement(actions=["s3:GetObject", "s3:PutObject"], resources=[bucket.arn_for_objects(_KEY)])
        )
        self.handler.role.add_to_policy(iam.PolicyStatement(actions=["s3:ListBucket"], resources=[bucket.bucket_arn]))
        stack = cdk.Stack.of(self)
        document = {
            "owner": owner,
            "zone": zone,
            "hosts": list(hosts),
            "adopt": adopt,
            "secret": authority.secret_arn,
            "bucket": bucket.bucket_name,
            "key": _KEY,
        }
        self.resource = self.handler.resource(
            self, "Resource", kind="Custom::OriginLock", properties={"Document": stack.to_json_string(document)}
        )
        self.trust_store = elbv2.TrustStore(self, "TrustStore", bucket=bucket, key=_KEY)
        self.trust_store.node.add_dependency(self.resource)
        self.handler.run_every(
            cdk.Duration.days(1),
            self,
            "Daily",
            description="Renews Cloudflare's client certificate in time",
            event=document,
        )
