"""Rules of one phase, in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareProvider


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of the ruleset engine, with the fields of its API."""

    name: str
    """Owner and name identify our rules: another name is another rule."""
    description: str
    expression: str | Mapping[str, Any]
    """Text, or a reference to a text that contains a secret."""
    action: str
    parameters: Mapping[str, Any] | None = None
    rate_limit: Mapping[str, Any] | None = None
    logs: bool | None = None
    """Whether each match of a `skip` rule is a security event; None: it is. Other rules refuse it (code 20018)."""

    def declared(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": self.description,
            "expression": self.expression,
            "action": self.action,
            **({"action_parameters": self.parameters} if self.parameters is not None else {}),
            **({"logging": {"enabled": self.logs}} if self.logs is not None else {}),
            **({"ratelimit": self.rate_limit} if self.rate_limit is not None else {}),
        }


class PhaseRules(Construct):
    """All of our rules in this phase: those that are no longer declared are deleted."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        provider: CloudflareProvider,
        phase: str,
        rules: Sequence[Rule],
        adopt: bool,
    ) -> None:
        super().__init__(scope, id_)
        self.resource = provider.declare(
            self,
            "Resource",
            kind="rules",
            name=phase,
            phase=phase,
            adopt=adopt,
            rules=[each.declared() for each in rules],
        )


def host_is(host: str) -> str:
    return f'http.host eq "{host}"'


def hosts_are(hosts: Sequence[str]) -> str:
    """Expression for requests to one of these hosts."""
    names = " ".join(f'"{each}"' for each in hosts)
    return host_is(hosts[0]) if len(hosts) == 1 else f"http.host in {{{names}}}"
