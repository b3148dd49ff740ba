"""Image tags are immutable, images are scanned, and released images are kept longest."""

import json
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short

REPOSITORY = "AWS::ECR::Repository"
# Tags of released images and of images pushed for a release, and the least number of each that is kept.
KEPT = {"released-": 400, "release-": 50}


@policy(
    reason="A tag that moves runs another image than the scanned one. A release whose image has expired cannot "
    "be restored.",
    failure=Failure.SUPPLY_CHAIN,
    reads={
        REPOSITORY: ("ImageTagMutability", "ImageScanningConfiguration", "LifecyclePolicy", "RepositoryPolicyText"),
        "AWS::ECR::PullThroughCacheRule": ("EcrRepositoryPrefix", "UpstreamRegistryUrl"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of("AWS::ECR::PullThroughCacheRule"):
        yield from each.expect("UpstreamRegistryUrl", "public.ecr.aws")
        yield from each.expect("EcrRepositoryPrefix", f"{graph.environment.product}-{graph.name}")
    for each in graph.of(REPOSITORY):
        yield from each.expect("ImageTagMutability", "IMMUTABLE")
        yield from each.expect("ImageScanningConfiguration", {"ScanOnPush": True})
        if each.get("RepositoryPolicyText") is not None:
            yield each.violation("RepositoryPolicyText", "is set: no other account may pull or push")
        if each.logical_id.startswith("Helper"):
            continue  # A repository whose image ECR can fetch again.
        try:
            rules = json.loads(each.text(each.get("LifecyclePolicy.LifecyclePolicyText")))["rules"]
        except (ValueError, TypeError, KeyError):
            yield each.violation("LifecyclePolicy", "is missing: builds would be kept forever")
            continue
        if any(rule.get("action") != {"type": "expire"} or "selection" not in rule for rule in rules):
            yield each.violation("LifecyclePolicy", "has a rule that expires nothing")
            continue
        order = [rule.get("rulePriority") for rule in rules]
        if order != list(range(1, len(rules) + 1)):
            yield each.violation("LifecyclePolicy", f"has the priorities {order}, must be 1, 2, 3 …")
        selections = {
            tag: rule["selection"] for rule in rules for tag in rule["selection"].get("tagPrefixList", ["untagged"])
        }
        for tag, days in (("preview-", 21), ("untagged", 7)):
            found = selections.get(tag, {})
            # A preview lasts two weeks at most, and a push takes minutes.
            if (found.get("countType"), found.get("countUnit"), found.get("countNumber")) != (
                "sinceImagePushed",
                "days",
                days,
            ):
                yield each.violation("LifecyclePolicy", f"keeps {short(found)} of {tag}, must be {days} days")
        for prefix, least in KEPT.items():
            found = selections.get(prefix, {})
            if found.get("countType") != "imageCountMoreThan" or found.get("countNumber", 0) < least:
                yield each.violation("LifecyclePolicy", f"keeps {short(found)} of {prefix}, must be at least {least}")
        if set(selections) != {*KEPT, "preview-", "untagged"} or rules[0]["selection"].get("tagPrefixList") != [
            "released-"
        ]:
            yield each.violation("LifecyclePolicy", "must begin with released images, and know no other tags")
