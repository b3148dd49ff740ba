"""`infra open`: addresses of consoles and dashboards."""

from urllib.parse import quote

from config.model import Environment
from infra_runtime.contract.names import full_name
from ops.errors import InputError


def addresses(name: str, environment: Environment) -> dict[str, str]:
    """Addresses by name: each service with a host, and the consoles."""
    region = environment.aws.region
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
    found = {service: f"https://{each.host}/" for service, each in environment.services.items() if each.host}
    dashboard = quote(full_name(environment.product, name))
    found |= {
        "dashboard": f"{console}#dashboards/dashboard/{dashboard}",
        "alarms": f"{console}#alarmsV2:",
        "cloudflare": f"https://dash.cloudflare.com/?to=/:account/{environment.domains.zone}",
    }
    if environment.sentry is not None:
        found["sentry"] = f"https://{environment.sentry.organization}.sentry.io/issues/?environment={quote(name)}"
    return found


def address(name: str, environment: Environment, what: str) -> str:
    """Raises `InputError`."""
    known = addresses(name, environment)
    if what not in known:
        raise InputError(f"WHAT {what!r}: expected one of {', '.join(known)}")
    return known[what]
