"""The client certificate, of our own CA, that Cloudflare presents to our load balancer for our hostnames only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from infra_runtime.authority import ClientCertificateAuthority
from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import Change, Conflict, Declared, Observed
from infra_runtime.vendor_api import NotFound, Refused

# Time enough to repair a renewal that fails.
_RENEW_BEFORE = timedelta(days=120)
# Until all of Cloudflare's servers present the new one.
_OVERLAP = timedelta(days=1)
# Error codes from alchemy's live tests (@distilled.cloud/cloudflare). A certificate is still in use for seconds after
# its last host name is removed, and is being deployed for minutes after its upload.
_NOT_YET = frozenset({1433, 1434})
_PENDING_DELETION = frozenset({1414})
_WHILE_IN_USE = (2, 4, 8, 15, 30, 30, 30, 30, 30, 30)
"""Seconds between two attempts."""


@dataclass(frozen=True)
class ClientCertificates:
    """`declared`: owner, adopt, hosts. Ours are the certificates that our CA has issued, under any name."""

    api: Api
    zone: str
    declared: Declared
    authority: ClientCertificateAuthority
    now: datetime

    @property
    def _path(self) -> str:
        return f"/zones/{self.zone}/origin_tls_client_auth/hostnames"

    def _ours(self) -> dict[str, x509.Certificate]:
        """By id, the longest lasting first."""
        found = {}
        for each in self.api.get(f"{self._path}/certificates"):
            try:
                certificate = x509.load_pem_x509_certificate(each["certificate"].encode())
                certificate.verify_directly_issued_by(self.authority.certificate)
            except (ValueError, TypeError, InvalidSignature):
                continue
            if each.get("status") not in ("pending_deletion", "deleted"):
                found[each["id"]] = certificate
        return dict(sorted(found.items(), key=lambda each: each[1].not_valid_after_utc, reverse=True))

    def until(self) -> datetime | None:
        """When the longest lasting of ours ends."""
        return next((each.not_valid_after_utc for each in self._ours().values()), None)

    def _associations(self) -> dict[str, dict[str, Any]]:
        found = {}
        for host in self.declared["hosts"]:
            try:
                association = self.api.get(f"{self._path}/{host}")
            except NotFound:
                continue
            if association.get("cert_id"):
                found[host] = association
        return found

    def observed(self) -> list[Observed]:
        ours = self._ours()
        return [
            Observed(f"client certificate of {host}", each["cert_id"] in ours, {"enabled": each["enabled"]})
            for host, each in self._associations().items()
        ]

    def changes(self, *, present: bool) -> list[Change]:
        ours, associations = self._ours(), self._associations()
        if not present:
            return self._removal(ours, associations)
        for host, each in associations.items():
            if each["cert_id"] not in ours and each["enabled"] and not self.declared.get("adopt"):
                raise Conflict(
                    f"client certificate of {host}: a foreign one is already associated ({each['cert_id']}); "
                    "remove the association, or set cloudflare.adopt to take it over"
                )
        current = next(iter(ours), None)
        if current is None or ours[current].not_valid_after_utc - self.now < _RENEW_BEFORE:
            return [Change("create", "client certificate", self._upload, read_again=True)]
        wrong = [
            host
            for host in self.declared["hosts"]
            if (associations.get(host, {}).get("cert_id"), associations.get(host, {}).get("enabled")) != (current, True)
        ]
        if wrong:
            return [self._associate(wrong, current, enabled=True)]
        in_use = {each["cert_id"] for each in associations.values()}
        is_settled = self.now - ours[current].not_valid_before_utc > _OVERLAP
        return [self._delete(each) for each in ours if each not in in_use and each != current and is_settled]

    def _removal(self, ours: Mapping[str, Any], associations: Mapping[str, Mapping[str, Any]]) -> list[Change]:
        """Removes their hosts first, then deletes them."""
        shown = {host: each["cert_id"] for host, each in associations.items() if each["cert_id"] in ours}
        changes = [self._associate([host], identity, enabled=None) for host, identity in shown.items()]
        return changes + [self._delete(each) for each in ours]

    def _upload(self) -> None:
        leaf = self.authority.issue(self.declared["owner"], now=self.now)
        self.api.write("POST", f"{self._path}/certificates", leaf)

    def _associate(self, hosts: list[str], identity: str, *, enabled: bool | None) -> Change:
        config = [{"hostname": host, "cert_id": identity, "enabled": enabled} for host in hosts]
        apply: Callable[[], object] = lambda: self.api.write("PUT", self._path, {"config": config})  # noqa: E731
        return Change(
            "update" if enabled else "delete", f"client certificate of {', '.join(hosts)}", apply, after=config
        )

    def _delete(self, identity: str) -> Change:
        path = f"{self._path}/certificates/{identity}"

        def apply() -> None:
            for wait in _WHILE_IN_USE:
                try:
                    self.api.delete(path)
                except Refused as error:
                    if error.codes & _PENDING_DELETION:
                        return
                    if not error.codes & _NOT_YET:
                        raise
                    self.api.wait(wait, str(error))
                else:
                    return
            self.api.delete(path)

        return Change("delete", f"client certificate {identity}", apply)
