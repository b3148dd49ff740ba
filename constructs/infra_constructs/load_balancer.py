"""The only way in: an Application Load Balancer that speaks HTTPS with Cloudflare and serves only known hosts."""

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra_constructs.findings import acknowledge
from infra_constructs.retention import Retention
from infra_constructs.service_access import immutable

# Where a new version is tried before any user sees it. Nothing outside of the VPC may reach this port.
TEST_PORT = 8443
IDLE_SECONDS = 60
"""Also how long it waits for the first byte of an answer (ELB guide, "HTTP 504"): much less would cut requests."""


class LoadBalancer(Construct):
    """`production` carries users, `test` the checks of a release. A host that no rule knows gets 404."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        vpc: ec2.IVpc,
        security_group: ec2.ISecurityGroup,
        certificate: acm.ICertificate,
        trust_store: elbv2.ITrustStore,
        retention: Retention,
    ) -> None:
        super().__init__(scope, id_)
        self.logs = s3.Bucket(
            self,
            "AccessLogs",
            # The delivery service of ALB logs cannot use a KMS key.
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            lifecycle_rules=[s3.LifecycleRule(id="forget", expiration=cdk.Duration.days(90))],
            removal_policy=retention.objects,
            auto_delete_objects=not retention.is_kept,
        )
        acknowledge(
            self.logs, "AwsSolutions-S1", reason="This bucket holds access logs; logging it would log the logging."
        )
        self.balancer = elbv2.ApplicationLoadBalancer(
            self,
            "Balancer",
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
            internet_facing=True,
            security_group=immutable(self, "Access", security_group),
            drop_invalid_header_fields=True,
            desync_mitigation_mode=elbv2.DesyncMitigationMode.STRICTEST,
            idle_timeout=cdk.Duration.seconds(IDLE_SECONDS),
            deletion_protection=retention.is_kept,
        )
        self.balancer.log_access_logs(self.logs, prefix="alb")
        self._certificate = certificate
        # Cloudflare connects by TLS only ("strict"), so there is no port 80 at all, not even to redirect from; and it
        # shows a certificate of our own CA, which no other customer of Cloudflare's can.
        self.production = self._listener(
            "Production",
            443,
            elbv2.MutualAuthentication(
                mutual_authentication_mode=elbv2.MutualAuthenticationMode.VERIFY,
                trust_store=trust_store,
                # Expired means that the renewal has failed for months: an alarm tells that, and not an outage.
                ignore_client_certificate_expiry=True,
            ),
        )
        # Reached from inside the VPC only, by the checks of a release.
        self.test = self._listener("Test", TEST_PORT)

    def _listener(
        self, id_: str, port: int, mutual: elbv2.MutualAuthentication | None = None
    ) -> elbv2.ApplicationListener:
        return self.balancer.add_listener(
            id_,
            port=port,
            protocol=elbv2.ApplicationProtocol.HTTPS,
            certificates=[self._certificate],
            mutual_authentication=mutual,
            ssl_policy=elbv2.SslPolicy.RECOMMENDED_TLS,
            # The default, True, opens the port to the whole internet, regardless of the security group.
            open=False,
            default_action=elbv2.ListenerAction.fixed_response(
                404, content_type="text/plain", message_body="no such host"
            ),
        )
