"""Which service of the environment's file a resource of a service's stack belongs to."""

import re
from dataclasses import dataclass

from config.model import Service
from config.previews import hosts
from config.services import on_ecs, previewed, same_image, with_own_stack, words
from template_policies.graph import Graph, Resource


@dataclass(frozen=True)
class Owner:
    name: str
    service: Service
    slot: int | None
    """Slot of a preview; None for a service of the environment itself."""
    host: str | None


def owner(graph: Graph, resource: Resource) -> Owner | None:
    """The service that a resource belongs to; None outside of the services' stacks."""
    environment = graph.environment
    if slot := re.fullmatch(r"Preview(\d+)", resource.stack):
        number = int(slot[1])
        # The longest first: ids of `api-admin` begin with those of `api`.
        for name, service in sorted(previewed(environment).items(), key=lambda each: -len(each[0])):
            if resource.logical_id.startswith(words(name)):
                return Owner(name, service, number, hosts(environment, number)[name])
        return None
    for name in with_own_stack(environment):
        if words(name) == resource.stack and name in on_ecs(environment):
            own, *others = same_image(environment, name).items()
            # Ids of the stack's own service are plain, those of its workers and of their jobs begin with their names.
            for other, service in others:
                if resource.logical_id.startswith((f"{words(other)}Service", f"JobsOf{words(other)}Jobs")):
                    return Owner(other, service, None, service.host)
            return Owner(own[0], own[1], None, own[1].host)
    return None
