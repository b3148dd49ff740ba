"""An EventBridge rule matches its function's events, only from this environment's own resources."""

from collections.abc import Iterator, Mapping

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short

RULE = "AWS::Events::Rule"
ENDS = {"UPDATE_COMPLETE", "UPDATE_FAILED", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED"}
CRASHES = [
    {"stopCode": ["EssentialContainerExited", "TaskFailedToStart", "UserInitiated"]},
    {"stoppedReason": [{"prefix": "Task failed "}]},
]
ROLLED_BACK = {"UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}
# Values that a path of `detail` must include, by (source, detail-type).
WANTED: Mapping[tuple[str, str], Mapping[str, set[str]]] = {
    ("aws.secretsmanager", "Secret Label Updated"): {"labelUpdated": {"AWSCURRENT"}},
    ("aws.backup", "Backup Job State Change"): {"state": {"FAILED", "ABORTED", "EXPIRED"}},
    ("aws.backup", "Copy Job State Change"): {"state": {"FAILED", "ABORTED", "EXPIRED"}},
    ("aws.backup", "Restore Job State Change"): {"status": {"COMPLETED", "FAILED", "ABORTED"}, "resourceType": {"RDS"}},
    ("aws.rds", "RDS DB Instance Event"): {"EventCategories": {"failover", "failure"}},
    ("aws.ecs", "ECS Task State Change"): {"lastStatus": {"STOPPED"}, "clusterArn": set()},
    ("aws.cloudformation", "CloudFormation Stack Status Change"): {"status-details.status": set()},
    ("aws.s3", "Object Created"): {"bucket.name": set()},
    ("aws.s3", "Object Deleted"): {"bucket.name": set()},
}
# Events whose functions check themselves whether they are concerned.
OTHERS = ("aws.guardduty", "aws.amplify")
# Paths of `detail` that must name this environment's resources.
OWN = {
    "aws.backup": ("resourceArn", "resourceType"), "aws.rds": ("SourceArn",), "aws.ecs": ("clusterArn",),
    "aws.cloudformation": ("stack-id",), "aws.s3": ("bucket.name",),
}  # fmt: skip


@policy(
    reason="Without its filter a rule matches every stack, database and bucket of the account; with a wrong one, none.",
    failure=Failure.UNOBSERVED,
    reads={RULE: ("EventPattern",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    for rule in graph.of(RULE):
        pattern = rule.get("EventPattern")
        if pattern is None:
            continue
        detail = pattern.get("detail") or {}
        for source in pattern.get("source") or [None]:
            for kind in pattern.get("detail-type") or [None]:
                if (source, kind) not in WANTED:
                    if source not in OTHERS:
                        yield rule.violation("EventPattern", f"matches {short(kind)} of {short(source)}")
                    continue
                for path, values in WANTED[source, kind].items():
                    found = _at(detail, path)
                    if not found or not values <= {str(each) for each in found if isinstance(each, str)}:
                        yield rule.violation(
                            "EventPattern", f"matches {path} {short(found)}, must match {sorted(values)}"
                        )
            for path in OWN.get(str(source), ())[:1]:
                named = rule.text(_at(detail, path))
                if "Restore" in str(pattern.get("detail-type")):
                    continue  # Events of a restored instance, which has its own name.
                if "*" in named or (source == "aws.s3" and _at(detail, path) != [graph.environment.media.bucket]):
                    yield rule.violation("EventPattern", f"is about {named}, must be about this environment's own")
                if not any(own in named for own in (graph.name, graph.environment.media.bucket, "Fn::", '"Ref"')):
                    yield rule.violation("EventPattern", f"is about {named}, must be about this environment's own")
        statuses = {str(each) for each in _at(detail, "status-details.status")}
        if statuses and not (statuses >= ENDS or statuses >= ROLLED_BACK):
            yield rule.violation("EventPattern", f"matches {sorted(statuses)}, must match all ends or all rollbacks")
        if "group" in detail and _at(detail, "group") != [{"prefix": "service:"}]:
            yield rule.violation("EventPattern", "must be about tasks of services")
        if {"$or", "group"} & set(detail) and detail.get("$or") != CRASHES:
            yield rule.violation("EventPattern", f"matches {short(detail.get('$or'))}, must match {short(CRASHES)}")
        if "aws.ecs" in (pattern.get("source") or []) and not {"$or", "startedBy", "taskDefinitionArn"} & set(detail):
            yield rule.violation("EventPattern", "matches every stopped task, must match only unexpected ends")


def _at(detail: object, path: str) -> list[object]:
    for key in path.split("."):
        detail = detail.get(key) if isinstance(detail, dict) else None
    return detail if isinstance(detail, list) else []
