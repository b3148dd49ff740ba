"""Preview slots, and the host names that lead to the load balancer and to the sites."""

from config.model import Environment
from config.services import balanced, previewed
from config.services import hosts as hosts_of


def slots(environment: Environment) -> range:
    """Numbers of the slots; none where there are no previews."""
    return range(1, (environment.previews.slots if environment.previews else 0) + 1)


def hosts(environment: Environment, slot: int) -> dict[str, str]:
    """Hosts of a slot, by service: api-preview-1.example.com for api.example.com.

    On the same level, because Cloudflare's universal certificate covers one level only.
    """
    return {
        name: service.host.replace(".", f"-preview-{slot}.", 1)
        for name, service in previewed(environment).items()
        if service.host is not None
    }


def every_host(environment: Environment) -> list[str]:
    """All host names that lead to the load balancer, previews included."""
    own = [service.host for service in balanced(environment).values() if service.host is not None]
    return own + [host for slot in slots(environment) for host in hosts(environment, slot).values()]


def site_hosts(environment: Environment) -> list[str]:
    """Host names of all sites, on ECS and on Amplify, previews included."""
    found = [hosts_of(environment), *(hosts(environment, slot) for slot in slots(environment))]
    return [host for each in found for name, host in each.items() if environment.services[name].site]
