"""CloudFormation resolves secrets only into tokens of ElastiCache and Amplify, and into other secrets."""

import json
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.policy import EVERYTHING

RESOLVES = {
    ("AWS::ElastiCache::ReplicationGroup", "AuthToken"),
    ("AWS::SecretsManager::Secret", "SecretString"),
    # Amplify accepts a token in no other way, and never shows it.
    ("AWS::Amplify::App", "AccessToken"),
}


@policy(
    reason="A resolved value is readable in the resource, for example in a function's variables, a rule or a "
    "description.",
    failure=Failure.DISCLOSED,
    reads={EVERYTHING: (EVERYTHING,)},
)
def check(graph: Graph) -> Iterator[Violation]:
    for stack, template in graph.templates.items():
        # Most templates resolve none: one search of the text avoids hundreds.
        if "{{resolve:" not in json.dumps(template):
            continue
        for (where, _), resource in graph.resources.items():
            if where != stack:
                continue
            for name, value in (resource.raw.get("Properties") or {}).items():
                text = json.dumps(value)
                if "{{resolve:" in text and (resource.type, name) not in RESOLVES:
                    yield resource.violation(name, "resolves a secret, must name it")
                if "{{resolve:ssm-secure" in text:
                    yield resource.violation(name, "resolves a secure parameter, must be a secret in Secrets Manager")
