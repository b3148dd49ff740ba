"""Cloudflare's own rules: the managed ruleset, OWASP's, and the protection against floods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareProvider
from infra_constructs.cloudflare.rules import PhaseRules, Rule, hosts_are
from infra_runtime.contract.cloudflare_phases import DDOS, MANAGED_WAF

# Ids that are the same in every zone (Cloudflare documentation, "Managed rulesets" and "OWASP: configure by API").
MANAGED = "efb7b8c949ac4650a09736fc376e9aee"
OWASP = "4814384a9e5d4991b9815dcfc25d2f1f"
_OWASP_SCORE_RULE = "6179ae15870a4bb7b2d480d4843b323c"
_DDOS = "4d21379b4f9f4bb088e0729962c8b3cf"
_HIGHEST_PARANOIA = 4


@dataclass(frozen=True, kw_only=True)
class OwaspExceptionProps:
    """Requests that skip the ruleset, or some of its rules."""

    hosts: Sequence[str]
    path: str
    """Beginning of the path."""
    rules: Sequence[str] = ()
    """Ids of the rules; empty for the whole ruleset."""


@dataclass(frozen=True, kw_only=True)
class OwaspProps:
    """What an environment may choose."""

    paranoia: int
    threshold: int
    """Score from which OWASP acts on a request."""
    action: Literal["managed_challenge", "block", "log"]
    exceptions: Mapping[str, OwaspExceptionProps]
    """Exceptions by name."""


class ManagedRules(Construct):
    """Managed rules of the whole zone. With `owasp` None (a plan without managed rules), only flood protection."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        provider: CloudflareProvider,
        adopt: bool,
        owasp: OwaspProps | None,
        ddos_sensitivity: Literal["default", "medium", "low", "eoff"],
    ) -> None:
        super().__init__(scope, id_)
        if owasp is not None:
            PhaseRules(self, "Waf", provider=provider, phase=MANAGED_WAF, adopt=adopt, rules=_waf(owasp))
        PhaseRules(
            self,
            "Ddos",
            provider=provider,
            phase=DDOS,
            adopt=adopt,
            rules=[
                Rule(
                    name="ddos",
                    description=f"HTTP DDoS protection, sensitivity {ddos_sensitivity}",
                    expression="true",
                    action="execute",
                    parameters={"id": _DDOS, "overrides": {"sensitivity_level": ddos_sensitivity}},
                )
            ],
        )


class OwaspExceptions(Construct):
    """OWASP exceptions of an environment whose zone belongs to another one, which runs OWASP for all.

    `infra_runtime.cloudflare.rules` puts them before the other's OWASP: after it they would skip nothing.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        provider: CloudflareProvider,
        adopt: bool,
        exceptions: Mapping[str, OwaspExceptionProps],
    ) -> None:
        super().__init__(scope, id_)
        PhaseRules(self, "Waf", provider=provider, phase=MANAGED_WAF, adopt=adopt, rules=_skipping(exceptions))


def _skipping(exceptions: Mapping[str, OwaspExceptionProps]) -> list[Rule]:
    return [
        Rule(
            name=f"except-{name}",
            description=f"OWASP does not see {' '.join(each.hosts)}{each.path}"
            if not each.rules
            else f"OWASP at {' '.join(each.hosts)}",
            expression=f'{hosts_are(each.hosts)} and starts_with(http.request.uri.path, "{each.path}")',
            action="skip",
            parameters={"rules": {OWASP: list(each.rules)}} if each.rules else {"rulesets": [OWASP]},
            logs=False,
        )
        for name, each in exceptions.items()
    ]


def _waf(owasp: OwaspProps) -> list[Rule]:
    too_paranoid = range(owasp.paranoia + 1, _HIGHEST_PARANOIA + 1)
    overrides = {
        **(
            {"categories": [{"category": f"paranoia-level-{level}", "enabled": False} for level in too_paranoid]}
            if too_paranoid
            else {}
        ),
        "rules": [{"id": _OWASP_SCORE_RULE, "score_threshold": owasp.threshold, "action": owasp.action}],
    }
    return [
        # They apply to rulesets that are executed after them.
        *_skipping(owasp.exceptions),
        Rule(
            name="waf-managed",
            description="Cloudflare Managed Ruleset",
            expression="true",
            action="execute",
            parameters={"id": MANAGED},
        ),
        Rule(
            name="waf-owasp",
            description=f"OWASP Core Ruleset, paranoia {owasp.paranoia}, from a score of {owasp.threshold}",
            expression="true",
            action="execute",
            parameters={"id": OWASP, "overrides": overrides},
        ),
    ]
