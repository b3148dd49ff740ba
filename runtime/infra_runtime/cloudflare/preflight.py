"""Checks before the first write at Cloudflare; reports all problems together."""

from dataclasses import dataclass
from typing import Any

from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import Declared
from infra_runtime.cloudflare.zone import Zone
from infra_runtime.vendor_api import NotFound, Refused, VendorError

_APIS = {
    "Tiered Cache": "/argo/tiered_caching",
    "Smart Tiered Cache": "/cache/tiered_cache_smart_topology_enable",
    "Bot Management": "/bot_management",
}
# Any one of them will do.
_AMAZON = frozenset({"amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com"})
PLANS = ("free", "pro", "business", "enterprise")


class NotReady(Exception):
    """The message lists every problem."""


@dataclass(frozen=True)
class Preflight:
    """`declared`: owner, plan, settings (those that must be editable), rules (by phase: ours, and the limit)."""

    api: Api
    zone: Zone
    declared: Declared

    def check(self) -> None:
        """Raises `NotReady`. Only reads."""
        if problems := [*self._token(), *self._plan(), *self._settings(), *self._reach(), *self._caa(), *self._rules()]:
            raise NotReady(f"{self.zone.name}: " + "; ".join(problems))

    def _token(self) -> list[str]:
        try:
            status = self.api.get("/user/tokens/verify")["status"]
        except Refused:
            # A token of the account, not of a user, is verified at another path.
            try:
                status = self.api.get(f"/accounts/{self.zone.account}/tokens/verify")["status"]
            except Refused as error:
                return [f"the token cannot be verified ({error})"]
        return [] if status == "active" else [f"the token is {status}"]

    def _plan(self) -> list[str]:
        wanted, found = self.declared["plan"], self.zone.plan
        # A plan with an unknown name passes here: the checks below show what it can do.
        if found in PLANS and PLANS.index(found) < PLANS.index(wanted):
            return [f"the zone is on the plan {found}, cloudflare.plan says {wanted}"]
        return []

    def _settings(self) -> list[str]:
        problems = []
        for name in self.declared["settings"]:
            found = self._ask(f"/zones/{self.zone.id}/settings/{name}")
            if isinstance(found, str):
                problems.append(f"the setting {name} cannot be read ({found})")
            elif not found.get("editable", True):
                problems.append(f"the setting {name} cannot be changed on this plan")
        return problems

    def _reach(self) -> list[str]:
        """Some of Cloudflare's APIs refuse tokens that belong to an account."""
        hint = "tokens of an account may not reach it, tokens of a user do: docs/cloudflare-token.md"
        return [
            f"{what} cannot be read ({found}); {hint}"
            for what, path in _APIS.items()
            if self.declared["settings"]  # of the environment that declares the zone's settings
            and isinstance(found := self._ask(f"/zones/{self.zone.id}{path}"), str)
        ]

    def _caa(self) -> list[str]:
        """ACM issues our certificates; CAA records may forbid it to (ACM User Guide, "CAA record")."""
        try:
            found = self.api.pages(f"/zones/{self.zone.id}/dns_records", type="CAA")
        except VendorError as error:
            return [f"the DNS records cannot be read ({error})"]
        issuers = {
            str((each.get("data") or {}).get("value"))
            for each in found
            if each["name"] == self.zone.name and (each.get("data") or {}).get("tag") == "issue"
        }
        if not issuers or issuers & _AMAZON:
            return []
        return [f"the CAA records let only {', '.join(sorted(issuers))} issue certificates; add 'issue amazon.com'"]

    def _rules(self) -> list[str]:
        problems = []
        for phase, rules in self.declared["rules"].items():
            found = self._ask(f"/zones/{self.zone.id}/rulesets/phases/{phase}/entrypoint")
            if isinstance(found, str):
                problems.append(f"the rules of {phase} cannot be read ({found})")
                continue
            theirs = [
                rule
                for rule in found.get("rules") or []
                if not str(rule.get("ref", "")).startswith(f"{self.declared['owner']}.")
            ]
            if len(theirs) + rules["ours"] > rules["limit"]:
                names = ", ".join(str(rule.get("description") or rule["id"]) for rule in theirs)
                problems.append(
                    f"{phase}: {rules['ours']} rules of ours and {len(theirs)} of others ({names}) "
                    f"are more than the {rules['limit']} of the plan {self.declared['plan']}"
                )
        return problems

    def _ask(self, path: str) -> Any:
        """The answer; {} where there is none yet; the reason, a string, when it is refused."""
        try:
            return self.api.get(path)
        except NotFound:
            return {}
        except VendorError as error:
            return str(error)
