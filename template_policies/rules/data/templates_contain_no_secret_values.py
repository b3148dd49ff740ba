"""Secrets Manager generates a secret, or CloudFormation composes it from others; no template contains a value."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short

SECRET = "AWS::SecretsManager::Secret"


@policy(
    reason="CloudFormation, this repository's history and every checkout keep templates.",
    failure=Failure.DISCLOSED,
    reads={SECRET: ("SecretString", "GenerateSecretString"), "Custom::UpstashDatabase": ("UrlSecret",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    # Upstash's URL, which the function that makes the database writes.
    written = {target.where for each in graph.of("Custom::UpstashDatabase") if (target := each.target("UrlSecret"))}
    for each in graph.of(SECRET):
        value = each.get("SecretString")
        if value is not None and "{{resolve:secretsmanager:{" not in each.text(value):
            yield each.violation("SecretString", f"is {short(value)}, must be read from another secret")
        if value is None and each.get("GenerateSecretString") is None and each.where not in written:
            yield each.violation("GenerateSecretString", "is missing: the secret would be empty")
        length = each.get("GenerateSecretString.PasswordLength", 32)
        if not 32 <= length <= 128:
            yield each.violation("GenerateSecretString.PasswordLength", f"is {length}, must be at least 32")
        # In URLs, in tokens of ElastiCache and in connection strings.
        if each.get("GenerateSecretString") is not None:
            yield from each.expect("GenerateSecretString.ExcludePunctuation", True)
            if each.get("GenerateSecretString.IncludeSpace") not in (None, False):
                yield each.violation("GenerateSecretString.IncludeSpace", "is on: a URL cannot contain a space")
        if any(
            key.startswith(("Exclude", "Require")) and key not in ("ExcludePunctuation",)
            for key in each.get("GenerateSecretString", {})
        ):
            yield each.violation("GenerateSecretString", "excludes characters: a smaller alphabet is easier to guess")
