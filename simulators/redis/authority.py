"""The rehearsal's certificate authority, and certificates that are valid, or invalid in one way."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Files:
    chain: Path
    key: Path
    authority: Path


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key and its authority."""

    leaf: trustme.LeafCert
    authority: "Authority"

    def write(self, directory: Path) -> Files:
        files = Files(directory / "chain.pem", directory / "key.pem", directory / "authority.pem")
        files.chain.write_bytes(b"".join(pem.bytes() for pem in self.leaf.cert_chain_pems))
        files.key.write_bytes(self.leaf.private_key_pem.bytes())
        self.authority.write(files.authority)
        return files


@dataclass(frozen=True)
class Authority:
    _ca: trustme.CA = field(default_factory=trustme.CA)

    @classmethod
    def load(cls, directory: Path) -> "Authority":
        """Loads the authority that another process has written with `save`."""
        return cls(trustme.CA.from_pem((directory / "ca.pem").read_bytes(), (directory / "ca.key").read_bytes()))

    def save(self, directory: Path) -> Path:
        """Writes certificate and key. Returns the certificate's file, for clients that should trust it."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "ca.key").write_bytes(self._ca.private_key_pem.bytes())
        return self.write(directory / "ca.pem")

    def write(self, file: Path) -> Path:
        """Writes the authority's certificate for clients that should trust it."""
        file.write_bytes(self._ca.cert_pem.bytes())
        return file

    def certificate(self, *names: str, expired: bool = False) -> Certificate:
        """A certificate for host names and addresses."""
        now = datetime.now(UTC)
        leaf = (
            self._ca.issue_cert(*names, not_before=now - timedelta(days=9), not_after=now - timedelta(days=1))
            if expired
            else self._ca.issue_cert(*names)
        )
        return Certificate(leaf, self)
