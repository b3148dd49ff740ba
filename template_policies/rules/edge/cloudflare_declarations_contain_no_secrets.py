"""Cloudflare declarations refer to secrets by name and contain none."""

import json
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.cloudflare import KIND, named


@policy(
    reason="The User-Agent, or the signing key, is the only credential that the media bucket requires.",
    failure=Failure.DISCLOSED,
    reads={KIND: ("Document",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    found = named(graph)
    if graph.environment.media.origin == "worker":
        where, document = found.get("worker/media-origin", (None, {}))
        secret = document.get("secrets", {}).get("SIGNING_KEY", {})
        text = "worker/media-origin"
    else:
        where, document = found.get("rules/http_request_late_transform", (None, {}))
        rules = document.get("rules", [{}])
        headers = rules[0].get("action_parameters", {}).get("headers", {}) if rules else {}
        secret = headers.get("User-Agent", {}).get("value", {})
        text = "rules/http_request_late_transform"
    if where is None:
        yield graph.missing(KIND, f"is missing: {text}", stack="Edge")
    elif not isinstance(secret, dict) or not str(secret.get("$secret")).startswith("{Data/MediaAccess"):
        yield where.violation("Document", f"has {json.dumps(secret)[:40]}, must name the secret of Data")
