"""AWS::ElasticLoadBalancingV2::TrustStore, and listeners that require client certificates: MiniStack has neither."""

import uuid
from typing import Any

from cryptography import x509
from ministack.core.responses import get_account_id, get_region
from ministack.services import alb

from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, client, complete, register

_stores: dict[str, int] = {}
"""CA certificates by ARN."""


class TrustStore:
    name = "AWS::ElasticLoadBalancingV2::TrustStore"

    def create(self, properties: Properties) -> Provisioned:
        bundle = self._bundle(properties)
        where = f"arn:aws:elasticloadbalancing:{get_region()}:{get_account_id()}"
        arn = f"{where}:truststore/{properties.get('Name', 'trust')}/{uuid.uuid4().hex[:16]}"
        _stores[arn] = len(bundle)
        return Provisioned(arn, {"TrustStoreArn": arn, "NumberOfCaCertificates": str(len(bundle)), "Status": "ACTIVE"})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return Provisioned(physical_id, {"TrustStoreArn": physical_id})

    def delete(self, physical_id: str, properties: Properties) -> None:
        users = [
            each["ListenerArn"]
            for each in alb._listeners.values()
            if each.get("MutualAuthentication", {}).get("TrustStoreArn") == physical_id
        ]
        if users:
            raise ResourceRefused(f"Trust store '{physical_id}' is currently in use by '{users[0]}'")
        _stores.pop(physical_id, None)

    @staticmethod
    def _bundle(properties: Properties) -> list[x509.Certificate]:
        """Refuses what the load balancer would: no such object, no certificate in it, or one that is not a CA's."""
        s3 = client("s3")
        try:
            where = {
                "Bucket": properties["CaCertificatesBundleS3Bucket"],
                "Key": properties["CaCertificatesBundleS3Key"],
            }
            content = s3.get_object(**where)["Body"].read()
        except s3.exceptions.ClientError as error:
            raise ResourceRefused(f"The specified CA certificates bundle cannot be read: {error}") from error
        try:
            found = x509.load_pem_x509_certificates(content)
        except ValueError as error:
            raise ResourceRefused("The CA certificates bundle is not valid PEM.") from error
        for each in found:
            if not each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
                raise ResourceRefused("The bundle has a certificate that is not a CA's.")
        return found


def install() -> None:
    register(TrustStore())

    def with_mutual(physical_id: str, properties: dict[str, Any]) -> None:
        mutual = properties.get("MutualAuthentication")
        if mutual and mutual["Mode"] == "verify" and mutual.get("TrustStoreArn") not in _stores:
            raise ResourceRefused(f"Trust store '{mutual.get('TrustStoreArn')}' not found")
        alb._listeners[physical_id]["MutualAuthentication"] = mutual or {"Mode": "off"}

    complete("AWS::ElasticLoadBalancingV2::Listener", with_mutual)
    own_answer = alb._listener_xml

    def answer(listener: dict[str, Any]) -> str:
        mutual = listener.get("MutualAuthentication") or {"Mode": "off"}
        text = "".join(f"<{key}>{value}</{key}>" for key, value in mutual.items())
        whole = str(own_answer(listener)).removesuffix("</member>")
        return f"{whole}<MutualAuthentication>{text}</MutualAuthentication></member>"

    alb._listener_xml = answer
