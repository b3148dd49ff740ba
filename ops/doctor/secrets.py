"""The secrets that people store in Secrets Manager before the first deployment: whether they exist and are valid."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from config import variables
from config.model import Environment, routes
from infra_runtime.contract.redis_url import InvalidRedisUrl, parse
from ops.account import is_denied
from ops.doctor.finding import Finding, unchecked
from ops.functions import Clients


@dataclass(frozen=True)
class Required:
    key: str
    """Key in the environment's file that names the secret."""
    name: str
    document: str
    wrong: Callable[[str], str]
    """What is wrong with a value, without quoting it; "" when it is right."""
    fields: tuple[str, ...] = ()
    """Fields of its JSON that are read; () when the whole value is read."""

    @property
    def reference(self) -> str:
        """Argument of `infra secret set`: NAME, or NAME:FIELD where one field is read."""
        return ":".join([self.name, *self.fields]) if len(self.fields) == 1 else self.name


def required(environment: Environment) -> Iterator[Required]:
    yield Required("cloudflare.token_secret", environment.cloudflare.token_secret, "docs/cloudflare-token.md", _token)
    for name, instance in sorted(environment.redis.instances.items()):
        key = f"redis.instances.{name}"
        if (upstash := instance.upstash) is not None:
            key_, name_ = f"{key}.upstash.credentials_secret", upstash.credentials_secret
            yield _with_fields(key_, name_, "docs/redis-upstash.md", "email", "api_key")
        if (external := instance.external) is not None:
            yield Required(f"{key}.external.url_secret", external.url_secret, "docs/redis-client.md", _redis_url)
    if (sentry := environment.sentry) is not None:
        yield _with_fields("sentry.token_secret", sentry.token_secret, "docs/sentry.md", "token")
    for severity, route in routes(environment.alarms).items():
        if (webhook := route.webhook_secret) is not None:
            yield Required(f"alarms.{severity}.webhook_secret", webhook, "docs/first-deployment.md", _webhook)
    for name, service in environment.services.items():
        if (amplify := service.amplify) is not None:
            key = f"services.{name}.amplify.access_token_secret"
            yield Required(key, amplify.access_token_secret, "docs/first-deployment.md", _token)
        for variable, (secret, field) in variables.secrets(environment, name).items():
            key, document = f"services.{name}.secrets.{variable}", "docs/secrets.md"
            yield _with_fields(key, secret, document, field) if field else Required(key, secret, document, _something)


def _with_fields(key: str, name: str, document: str, *fields: str) -> Required:
    return Required(key, name, document, _with_keys(*fields), fields)


def secrets(environment: Environment, clients: Clients) -> Iterator[Finding]:
    manager = clients.client("secretsmanager")
    for each in required(environment):
        where, why = f"secret {each.name}", f"{each.key} names it, and what reads it fails"
        try:
            wrong = fault(manager, each)
        except Unchecked:  # as for the pipeline's role
            yield unchecked(where, why=why)
            continue
        if wrong:
            fix = f"infra secret set ENV {each.reference} ({each.document})"
            yield Finding(where=where, what=wrong, why=why, fix=restore(each.name) if wrong == _DELETED else fix)


class Unchecked(Exception):
    """These credentials may not read the secret."""


_DELETED = "is scheduled for deletion"


def fault(manager: Any, needed: Required) -> str:
    """What is wrong with a secret's current value, without quoting it; "" when nothing is. Raises `Unchecked`."""
    try:
        value = manager.get_secret_value(SecretId=needed.name).get("SecretString", "")
    except ClientError as error:
        if is_denied(error):
            raise Unchecked from error
        match error.response["Error"]["Code"]:
            case "ResourceNotFoundException":
                return "has no value"
            case "InvalidRequestException":  # all that it means here (API Reference, "GetSecretValue")
                return _DELETED
        raise
    return needed.wrong(value)


def restore(name: str) -> str:
    """The command that cancels a secret's deletion."""
    return f"aws secretsmanager restore-secret --secret-id {name}"


def _token(value: str) -> str:
    plain = value.strip().replace("-", "").replace("_", "")
    return "" if plain.isascii() and plain.isalnum() else "is no token: letters, digits, - and _, and nothing around it"


def _webhook(value: str) -> str:
    """What is wrong with a webhook's secret, as infra_runtime.webhook reads it."""
    if not _with_keys("routing_key")(value):
        return ""
    url = urlsplit(value.strip())
    if url.scheme == "https" and url.hostname and not url.hostname.endswith("pagerduty.com"):
        return ""
    return 'is neither {"routing_key": …} of PagerDuty nor the https URL of another webhook'


def _redis_url(value: str) -> str:
    try:
        parse(value)
    except InvalidRedisUrl as error:
        return f"is no REDIS_URL: {error}"
    return ""


def _something(value: str) -> str:
    return "" if value else "is empty"


def _with_keys(*keys: str) -> Callable[[str], str]:
    def wrong(value: str) -> str:
        expected = f"is not JSON with {' and '.join(keys)}"
        try:
            document = json.loads(value)
        except ValueError:
            return expected
        return "" if isinstance(document, dict) and all(document.get(key) for key in keys) else expected

    return wrong
