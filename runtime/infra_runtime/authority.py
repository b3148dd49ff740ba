"""Our own certificate authority, by whose certificates the load balancer recognizes our Cloudflare zone."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY_LASTS = timedelta(days=3650)
_LEAF_LASTS = timedelta(days=365)
# Clocks differ: valid from a little before now.
_BACKDATED = timedelta(hours=1)


@dataclass(frozen=True)
class ClientCertificateAuthority:
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @classmethod
    def create(cls, name: str, *, now: datetime) -> "ClientCertificateAuthority":
        # RSA: the documentation of both the load balancer and Cloudflare names it.
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} origin pull CA")])
        certificate = (
            _builder(subject, subject, key, now=now, lasts=_AUTHORITY_LASTS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, text: str) -> "ClientCertificateAuthority":
        content = json.loads(text)
        key = serialization.load_pem_private_key(content["private_key"].encode(), None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("the CA's key is not an RSA key")
        return cls(x509.load_pem_x509_certificate(content["certificate"].encode()), key)

    def dump(self) -> str:
        """The value of the one secret that holds it."""
        return json.dumps({"certificate": self.certificate_pem, "private_key": _pem(self.key)})

    @property
    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, name: str, *, now: datetime) -> dict[str, str]:
        """A client certificate and its key, as Cloudflare's upload expects them; only Cloudflare keeps the key."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} via Cloudflare")])
        certificate = (
            _builder(subject, self.certificate.subject, key, now=now, lasts=_LEAF_LASTS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )  # fmt: skip
        return {
            "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
            "private_key": _pem(key),
        }


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey, *, now: datetime, lasts: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
