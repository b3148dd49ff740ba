"""The WAF blocks scanners and writes to media, and exempts programs only from bot challenges."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.cloudflare import KIND, named
from template_policies.graph import short

# Rules that exempt from the bot challenge. Every other rule blocks.
SPARED = {"programs", "own-checks"}


@policy(
    reason="A rule that only logs blocks nothing; one that skips more than bots opens the API to everything.",
    failure=Failure.CLOUDFLARE_CHANGES,
    reads={KIND: ("Document",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    where, document = named(graph).get("rules/http_request_firewall_custom", (None, {}))
    if where is None:
        return
    for rule in document.get("rules", []):
        name, action = rule.get("name"), rule.get("action")
        wanted = "skip" if name in SPARED else "block"
        if action != wanted:
            yield where.violation("Document", f"has {name} {short(action)}, must {wanted}")
        if action == "skip":
            # Skips the bot challenge and nothing else.
            if rule.get("action_parameters") != {"phases": ["http_request_sbfm"]}:
                yield where.violation("Document", f"has {name}, which skips more than bots")
            # A skip is logged as an event by default, and events trigger the alarm on attacks.
            if rule.get("logging") != {"enabled": False}:
                yield where.violation("Document", f"logs {name}, must not")
