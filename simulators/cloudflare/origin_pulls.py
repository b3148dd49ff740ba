"""Authenticated Origin Pulls by hostname: the client certificates that Cloudflare shows to an origin."""

from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from simulators.cloudflare.protocol import ApiProblem
from simulators.cloudflare.world import Zone, identity

_BUSY_UNTIL = "busy_until"


@dataclass(frozen=True)
class OriginPullCertificates:
    zone: Zone
    now: float
    """Seconds."""

    def listed(self) -> list[dict[str, Any]]:
        return [self._shown(each) for each in self.zone.client_certificates.values()]

    def upload(self, body: dict[str, Any]) -> dict[str, Any]:
        """Refuses a key that is not the certificate's, as Cloudflare does. A private key is never shown again."""
        try:
            certificate = x509.load_pem_x509_certificate(body["certificate"].encode())
            key = serialization.load_pem_private_key(body["private_key"].encode(), None)
        except ValueError as error:
            raise ApiProblem(400, 1408, "Unable to parse certificate") from error
        public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        if key.public_key().public_bytes(*public) != certificate.public_key().public_bytes(*public):
            raise ApiProblem(400, 1431, "The key is not the certificate's")
        if any(each["certificate"] == body["certificate"] for each in self.zone.client_certificates.values()):
            raise ApiProblem(400, 1406, "Certificate already exists")
        made = {
            "id": identity(),
            "status": "active",
            "certificate": body["certificate"],
            "private_key": body["private_key"],
            "issuer": certificate.issuer.rfc4514_string(),
            "serial_number": str(certificate.serial_number),
            "expires_on": certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
            "signature": "SHA256-RSA",
            "uploaded_on": "2026-11-01T00:00:00Z",
            _BUSY_UNTIL: self.now + self.zone.certificate_seconds,
        }
        self.zone.client_certificates[made["id"]] = made
        return self._shown(made)

    def _shown(self, certificate: dict[str, Any]) -> dict[str, Any]:
        shown = {
            key: value for key, value in certificate.items() if key not in ("private_key", "was_in_use", _BUSY_UNTIL)
        }
        return shown | ({"status": "pending_deployment"} if self._is_busy(certificate) else {})

    def _is_busy(self, certificate: dict[str, Any]) -> bool:
        busy: bool = self.now < certificate[_BUSY_UNTIL]
        return busy

    def delete(self, certificate_id: str) -> dict[str, Any]:
        if certificate_id not in self.zone.client_certificates:
            raise ApiProblem(404, 1551, "certificate not found")
        certificate = self.zone.client_certificates[certificate_id]
        if any(each["cert_id"] == certificate_id for each in self.zone.associations.values()):
            raise ApiProblem(400, 1433, "certificate is in use by a hostname")
        if self._is_busy(certificate):
            code, why = (1433, "in use") if certificate.get("was_in_use") else (1434, "pending deployment")
            raise ApiProblem(400, code, f"certificate is {why}")
        del self.zone.client_certificates[certificate_id]
        return {"id": certificate_id, "status": "pending_deletion"}

    def association(self, hostname: str) -> dict[str, Any]:
        if hostname not in self.zone.associations:
            raise ApiProblem(404, 1553, "setting for this hostname not found")
        return self.zone.associations[hostname]

    def associate(self, config: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each hostname by itself; `enabled: null` takes the association away."""
        for entry in config:
            if entry["enabled"] is None:
                voided = self.zone.associations.pop(entry["hostname"], None)
                if voided and (certificate := self.zone.client_certificates.get(voided["cert_id"])):
                    certificate |= {"was_in_use": True, _BUSY_UNTIL: self.now + self.zone.certificate_seconds}
                continue
            if entry["cert_id"] not in self.zone.client_certificates:
                raise ApiProblem(400, 1415, f"Invalid Certificate ID: {entry['cert_id']}")
            self.zone.associations[entry["hostname"]] = {
                "hostname": entry["hostname"],
                "cert_id": entry["cert_id"],
                "enabled": entry["enabled"],
                "cert_status": "active",
                "status": "active",
            }
        return list(self.zone.associations.values())
