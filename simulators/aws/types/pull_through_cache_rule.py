"""AWS::ECR::PullThroughCacheRule. What is pulled by it is found in `simulators.aws.ecs.image`."""

import re

from simulators.aws.ecs.image import cached
from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, register

# ECR API reference, "CreatePullThroughCacheRule": 2 to 30 characters, as repositories are named.
_PREFIX = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
# Those that need no credentials.
_UPSTREAMS = ("public.ecr.aws", "registry.k8s.io", "quay.io")


class PullThroughCacheRule:
    name = "AWS::ECR::PullThroughCacheRule"

    def create(self, properties: Properties) -> Provisioned:
        prefix, upstream = properties["EcrRepositoryPrefix"], properties["UpstreamRegistryUrl"]
        if not 2 <= len(prefix) <= 30 or not _PREFIX.fullmatch(prefix):
            raise ResourceRefused(f"Invalid parameter at 'ecrRepositoryPrefix' failed to satisfy constraint: {prefix}")
        if prefix in cached:
            raise ResourceRefused(f"A pull through cache rule for prefix '{prefix}' already exists.")
        if upstream not in _UPSTREAMS:
            raise ResourceRefused(f"The upstream registry URL '{upstream}' is not supported.")
        cached[prefix] = upstream
        return Provisioned(prefix)

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        """Every property replaces it (CloudFormation's resource reference)."""
        return self.create(new) if dict(old) != dict(new) else Provisioned(physical_id)

    def delete(self, physical_id: str, properties: Properties) -> None:
        cached.pop(physical_id, None)


def install() -> None:
    register(PullThroughCacheRule())
