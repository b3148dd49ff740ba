"""Media versions and logs expire after ninety days; nothing in use expires."""

from collections.abc import Iterator

from config.services import hosts_with_static_files
from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short

BUCKET = "AWS::S3::Bucket"


@policy(
    reason="A deleted picture is restored from its versions. An expiry of objects in use would delete data on "
    "schedule.",
    failure=Failure.DATA_LOST,
    reads={BUCKET: ("VersioningConfiguration", "LifecycleConfiguration", "BucketName", "MetricsConfigurations")},
)
def check(graph: Graph) -> Iterator[Violation]:
    media = graph.environment.media
    found = False
    for each in graph.of(BUCKET):
        rules = each.items("LifecycleConfiguration.Rules")
        for rule in rules:
            if rule.get("Status") != "Enabled":
                yield each.violation("LifecycleConfiguration", f"has {rule.get('Id')} {rule.get('Status')}")
        if each.get("BucketName") == media.bucket:
            found = True
            yield from each.expect("VersioningConfiguration.Status", "Enabled")
            days = [one.get("NoncurrentVersionExpiration") for one in rules]
            if days != [{"NoncurrentDays": 90}] or any(
                "Expiration" in one or "ExpirationInDays" in one for one in rules
            ):
                yield each.violation(
                    "LifecycleConfiguration", f"is {short(rules)}, must only expire versions after 90 days"
                )
            for key, value in (
                ("AbortIncompleteMultipartUpload", {"DaysAfterInitiation": 7}),
                ("ExpiredObjectDeleteMarker", True),
            ):
                if [one.get(key) for one in rules] != [value]:
                    yield each.violation("LifecycleConfiguration", f"must have {key} {short(value)}")
            # Alarms about the egress saving read these.
            metrics = [(one.get("Id"), one.get("Prefix")) for one in each.items("MetricsConfigurations")]
            static = [("StaticFiles", "_next/static/")] if hosts_with_static_files(graph.environment) else []
            if metrics != [("EntireBucket", None), *static]:
                yield each.violation("MetricsConfigurations", f"is {short(metrics)}")
        elif "AccessLogs" in each.logical_id:
            if [one.get("ExpirationInDays") for one in rules] != [90]:
                yield each.violation("LifecycleConfiguration", f"is {short(rules)}, must be 90 days")
        elif each.get("VersioningConfiguration.Status") != "Enabled":
            yield each.violation(
                "VersioningConfiguration", "must be Enabled: a bad CA certificate can then be restored"
            )
    if not found and not media.adopt:
        yield graph.missing(BUCKET, f"is missing: {media.bucket}", stack="Data")
