"""If the environment's file names a quarantine, GuardDuty scans uploads there once a function handles the results."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

PLAN = "AWS::GuardDuty::MalwareProtectionPlan"
RULE = "AWS::Events::Rule"
MAPPING = "AWS::Lambda::EventSourceMapping"
ROLE_POLICY = "AWS::IAM::Policy"
RESULT = "GuardDuty Malware Protection Object Scan Result"
STATUSES = {f"GuardDuty Malware Protection Resource Status {each}" for each in ("Warning", "Error")}


@policy(
    reason="An upload that is not scanned, or whose result is lost, stays in quarantine or is served to users; a plan "
    "that scans nothing says so once. And GuardDuty refuses a role that was just created (its guide, 'Troubleshooting "
    "IAM role permissions error'): AWS's sample waits a minute (aws-samples/guardduty-malware-protection, cdk), about "
    "as long as the function takes.",
    failure=Failure.DISCLOSED,
    reads={
        PLAN: ("Actions", "ProtectedResource", "Role", "DependsOn"),
        RULE: ("EventPattern", "Targets"),
        MAPPING: ("EventSourceArn",),
        "AWS::IAM::Role": ("DependsOn",),
        ROLE_POLICY: ("DependsOn", "Roles"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    media = graph.environment.media
    plans = graph.of(PLAN)
    if len(plans) != (media.quarantine is not None):
        yield graph.missing(PLAN, f"there are {len(plans)}, quarantine is {media.quarantine}", stack="Data")
    for plan in plans:
        yield from plan.expect("Actions.Tagging.Status", "ENABLED")
        yield from plan.expect("ProtectedResource.S3Bucket.ObjectPrefixes", [media.quarantine])
        bucket = plan.target("ProtectedResource.S3Bucket.BucketName")
        if bucket is None and plan.get("ProtectedResource.S3Bucket.BucketName") != media.bucket:
            yield plan.violation("ProtectedResource.S3Bucket.BucketName", f"must be {media.bucket}")
        role = plan.target("Role")
        if role is None or "Scanner" not in role.logical_id:
            yield plan.violation("Role", "must refer to the role of the scanner")
        else:
            policies = [
                each
                for each in graph.of(ROLE_POLICY)
                if any(graph.target(each.stack, one) is role for one in each.items("Roles"))
            ]
            for each in (role, *policies):
                if set(each.items("DependsOn")) - {role.logical_id}:
                    yield each.violation("DependsOn", "must be nothing: GuardDuty knows the role later than IAM")
        ours = [
            rule
            for rule in graph.of(RULE)
            if rule.get("EventPattern.source") == ["aws.guardduty"]
            and media.bucket in rule.text(rule.get("EventPattern.detail"))
        ]
        heard = [rule for rule in ours if rule.get("EventPattern.detail-type") == [RESULT]]
        if len(heard) != 1:
            yield plan.violation(RULE, f"is missing: {RESULT} of {media.bucket}")
        if not any(set(rule.items("EventPattern.detail-type")) >= STATUSES for rule in ours):
            yield plan.violation(RULE, f"is missing: {' and '.join(sorted(STATUSES))} of {media.bucket}")
        for rule in heard:
            queues = [graph.target(rule.stack, each.get("Arn")) for each in rule.items("Targets")]
            handles = [
                each
                for each in graph.of(MAPPING)
                if any(queue is not None and each.target("EventSourceArn") is queue for queue in queues)
            ]
            for needed in (rule, *handles):
                if needed.logical_id not in plan.items("DependsOn"):
                    yield plan.violation("DependsOn", f"must have {needed.logical_id}")
