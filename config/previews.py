"""Preview slots, and the host names that point to the load balancer and to the sites."""

import re
from collections.abc import Mapping

from config.model import Environment, Service
from config.services import hosts as hosts_of
from config.services import load_balanced, previewed

_OF_A_SLOT = re.compile(r"-preview-\d+\.")


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


def is_preview(host: str) -> bool:
    """Whether the host is a preview's. Only reviewers use those."""
    return _OF_A_SLOT.search(host) is not None


def load_balanced_hosts(environment: Environment) -> list[str]:
    """All host names that point to the load balancer, previews included."""
    return _names(load_balanced(environment)) + _preview_hosts(environment)


def certified_hosts(environment: Environment) -> list[str]:
    """All names in the load balancer's certificate.

    Includes sites on Amplify: a site that moves there uses the load balancer until DNS changes, which is after the
    certificate, and one that moves back uses it at once.
    """
    return _names(environment.services) + _preview_hosts(environment)


def _names(of: Mapping[str, Service]) -> list[str]:
    return [host for each in of.values() for host in (each.host, each.former_host) if host is not None]


def _preview_hosts(environment: Environment) -> list[str]:
    return [host for slot in slots(environment) for host in hosts(environment, slot).values()]


def site_hosts(environment: Environment) -> list[str]:
    """Host names of all sites, on ECS and on Amplify, previews included."""
    found = [hosts_of(environment), *(hosts(environment, slot) for slot in slots(environment))]
    return [host for each in found for name, host in each.items() if environment.services[name].site]
