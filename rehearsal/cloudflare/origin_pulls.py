"""Authenticated Origin Pulls by hostname: the client certificates that Cloudflare shows to an origin."""

from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from rehearsal.cloudflare.protocol import Problem
from rehearsal.cloudflare.world import Zone, identity


@dataclass(frozen=True)
class Certificates:
    zone: Zone

    def listed(self) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in each.items() if key != "private_key"}
            for each in self.zone.client_certificates.values()
        ]

    def upload(self, body: dict[str, Any]) -> dict[str, Any]:
        """Refuses a key that is not the certificate's, as Cloudflare does. A private key is never shown again."""
        try:
            certificate = x509.load_pem_x509_certificate(body["certificate"].encode())
            key = serialization.load_pem_private_key(body["private_key"].encode(), None)
        except ValueError as error:
            raise Problem(400, 1429, "The certificate or its key cannot be read") from error
        public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        if key.public_key().public_bytes(*public) != certificate.public_key().public_bytes(*public):
            raise Problem(400, 1431, "The key is not the certificate's")
        if any(each["certificate"] == body["certificate"] for each in self.zone.client_certificates.values()):
            raise Problem(409, 1432, "The certificate was uploaded already")
        made = {
            "id": identity(),
            "status": "active",
            "certificate": body["certificate"],
            "private_key": body["private_key"],
            "issuer": certificate.issuer.rfc4514_string(),
            "serial_number": str(certificate.serial_number),
            "expires_on": certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
            "uploaded_on": "2026-11-01T00:00:00Z",
        }
        self.zone.client_certificates[made["id"]] = made
        return {key: value for key, value in made.items() if key != "private_key"}

    def delete(self, certificate_id: str) -> dict[str, Any]:
        if certificate_id not in self.zone.client_certificates:
            raise Problem(404, 1433, "Certificate not found")
        if any(each["cert_id"] == certificate_id for each in self.zone.associations.values()):
            raise Problem(409, 1434, "The certificate is in use by a hostname")
        del self.zone.client_certificates[certificate_id]
        return {"id": certificate_id, "status": "pending_deletion"}

    def association(self, hostname: str) -> dict[str, Any]:
        if hostname not in self.zone.associations:
            raise Problem(404, 1435, "No certificate is associated with the hostname")
        return self.zone.associations[hostname]

    def associate(self, config: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each hostname by itself; `enabled: null` takes the association away."""
        for entry in config:
            if entry["enabled"] is None:
                self.zone.associations.pop(entry["hostname"], None)
                continue
            if entry["cert_id"] not in self.zone.client_certificates:
                raise Problem(400, 1436, f"No such certificate: {entry['cert_id']}")
            self.zone.associations[entry["hostname"]] = {
                "hostname": entry["hostname"],
                "cert_id": entry["cert_id"],
                "enabled": entry["enabled"],
                "cert_status": "active",
                "status": "active",
            }
        return list(self.zone.associations.values())
