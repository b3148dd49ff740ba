"""The WAF blocks scanners and writes to media, and exempts programs only from bot challenges."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.cloudflare import KIND, named
from template_policies.graph import short

# Requests to block: paths of scanners, and writes to media.
BLOCKED = {"scanners", "media-is-read-only"}


@policy(
    reason="A rule that only logs blocks nothing; one that skips more than bots opens the API to everything.",
    failure=Failure.CLOUDFLARE_CHANGES,
    reads={KIND: ("Document",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    where, document = named(graph).get("rules/http_request_firewall_custom", (None, {}))
    for rule in document.get("rules", []):
        # Past the bots' challenge, and past nothing else.
        skips = rule.get("action_parameters") == {"phases": ["http_request_sbfm"]}
        if where is not None and not (rule.get("action") == "block" or (rule.get("action") == "skip" and skips)):
            yield where.violation(
                "Document", f"has {rule.get('name')} {short(rule.get('action'))}, must block or skip bots"
            )
        # A skip is an event by default, and events ring the alarm about attacks.
        if where is not None and rule.get("action") == "skip" and rule.get("logging") != {"enabled": False}:
            yield where.violation("Document", f"logs {rule.get('name')}, must not")
        if where is not None and (rule.get("name") in BLOCKED) is not (rule.get("action") == "block"):
            yield where.violation("Document", f"has {rule.get('name')} {short(rule.get('action'))}")
