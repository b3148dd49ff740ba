"""The load balancer's certificate, validated through the Cloudflare zone while it waits."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.arns import arn_of
from infra_constructs.cloudflare.provider import CloudflareToken
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction


class ValidatedCertificate(Construct):
    """If the hosts change, it is another certificate: the old one is deleted when the listener has the new one."""

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
        handler = RuntimeFunction(
            self,
            "Handler",
            module="validated_certificate",
            description="Requests the load balancer's certificate and writes its validation records",
            # Lambda's longest. ACM usually takes a few minutes; the function asks itself to go on for up to an hour.
            timeout=cdk.Duration.minutes(15),
            environment={"TOKEN_SECRET": token.name},
            uses_libraries=True,
        )
        token.grant_read(handler)
        stack = cdk.Stack.of(self)
        certificates = arn_of(self, "acm", "certificate/*")
        handler.role.add_to_policy(
            iam.PolicyStatement(actions=["acm:RequestCertificate", "acm:ListCertificates"], resources=["*"])
        )
        handler.role.add_to_policy(
            iam.PolicyStatement(
                actions=["acm:DescribeCertificate", "acm:DeleteCertificate", "acm:AddTagsToCertificate"],
                resources=[certificates],
            )
        )
        for where in ("*", certificates):
            acknowledge(
                handler.policy,
                allows_on(where),
                reason="A certificate has no name before it is requested, only a number.",
            )
        document = {"owner": f"{owner}.certificate", "zone": zone, "hosts": list(hosts), "adopt": adopt}
        self.resource = handler.resource(
            self,
            "Resource",
            kind="Custom::ValidatedCertificate",
            properties={"Document": stack.to_json_string(document)},
        )
        handler.allow_self_invocation(self, "Itself", before=self.resource)
        self.certificate = acm.Certificate.from_certificate_arn(self, "Issued", self.resource.ref)
