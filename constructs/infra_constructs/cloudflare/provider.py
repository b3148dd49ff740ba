"""The custom-resource provider behind all declarations in the zone."""

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IConstruct

from infra_constructs.function import RuntimeFunction
from infra_constructs.state_store import StateStore


class CloudflareToken:
    """The API token, in a secret that a person stored under this name (docs/cloudflare-token.md)."""

    def __init__(self, scope: Construct, *, name: str) -> None:
        self.name = name
        self._secret = secretsmanager.Secret.from_secret_name_v2(scope, "Token", name)

    def grant_read(self, handler: RuntimeFunction) -> None:
        self._secret.grant_read(handler.role)


class CloudflareProvider(Construct):
    """Declares one owner's objects in one zone: a stack creates them one by one, and deletes them in reverse order."""

    def __init__(
        self, scope: Construct, id_: str, *, token: CloudflareToken, store: StateStore, owner: str, zone: str
    ) -> None:
        super().__init__(scope, id_)
        self._owner, self._zone = owner, zone
        self._last: dict[IConstruct, cdk.CustomResource] = {}
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="cloudflare.provider",
            description="Converges what is declared in the Cloudflare zone, object by object",
            timeout=cdk.Duration.minutes(10),
            environment={"TOKEN_SECRET": token.name, "STATE_STORE": store.prefix},
            uses_libraries=True,
        )
        token.grant_read(self.handler)
        store.grant(self.handler, writes=True)

    def declare(
        self, scope: Construct, id_: str, *, kind: str, name: str, part: str | None = None, **declared: Any
    ) -> cdk.CustomResource:
        """Adds one custom resource. `part` distinguishes the records of two declarations of one owner."""
        document: Mapping[str, Any] = {
            "kind": kind,
            "name": name,
            "owner": f"{self._owner}.{part}" if part else self._owner,
            "zone": self._zone,
            **declared,
        }
        stack = cdk.Stack.of(scope)
        resource = cdk.CustomResource(
            scope,
            id_,
            resource_type="Custom::Cloudflare",
            service_token=self.handler.function.function_arn,
            # One string: in a structure, CloudFormation would turn all numbers and booleans into strings.
            properties={"Document": stack.to_json_string(document)},
        )
        # One at a time: Cloudflare's rate limit is per user, and no two of them change one phase at once.
        if before := self._last.get(stack):
            resource.node.add_dependency(before)
        elif stack is cdk.Stack.of(self):
            resource.node.add_dependency(self.handler.policy)
        self._last[stack] = resource
        return resource
