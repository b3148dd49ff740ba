"""A check that cannot fail proves nothing: what each asks for is broken here, and the check fails."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from infra_runtime.cloudflare.analytics import WINDOW, closed
from infra_runtime.contract.metrics import EDGE, TrafficMetric
from rehearsal.account import Account
from rehearsal.checks import CHECKS, Check, Status, read_back
from rehearsal.checks.assertions import Failed


def has_passed(account: Account, check: str) -> bool:
    """Runs a check. Prints what it found if it fails."""
    (found,) = read_back(account, [each for each in CHECKS if each.requirement == check])
    print(found.found)  # noqa: T201
    return found.status is Status.PASSED


def test_checks_take_turns_but_those_of_independent_areas_are_read_beside_them() -> None:
    """The first two checks wait for each other: in sequence, both would fail."""
    both, turn = threading.Barrier(2), threading.Lock()

    def meet(_: Account) -> str:
        both.wait(10)
        return "met"

    def move(_: Account) -> str:
        if not turn.acquire(blocking=False):
            raise Failed("another one moves the tasks")
        try:
            time.sleep(0.05)
            return "moved"
        finally:
            turn.release()

    checks = [
        Check("Tasks", "meet", meet),
        Check("Edge", "meet", meet),
        *(Check("Tasks", f"move {number}", move) for number in range(3)),
    ]
    ended: list[str] = []
    results = read_back(cast(Account, None), checks, done=lambda result, seconds: ended.append(result.requirement))
    found = [(each.about, each.requirement, each.found) for each in results]
    assert sorted(ended) == ["meet", "meet", "move 0", "move 1", "move 2"], "each is reported when it ends"
    assert found == [
        ("Tasks", "meet", "met"),
        ("Edge", "meet", "met"),
        *(("Tasks", f"move {number}", "moved") for number in range(3)),
    ]


def _open_a_port(account: Account) -> None:
    elb = account.client("elbv2")
    arn = account.resource("Platform", "AWS::ElasticLoadBalancingV2::LoadBalancer")
    groups = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]["SecurityGroups"]
    account.client("ec2").authorize_security_group_ingress(
        GroupId=groups[0], IpProtocol="tcp", FromPort=443, ToPort=443, CidrIp="0.0.0.0/0"
    )


def _open_the_bucket(account: Account) -> None:
    account.client("s3").delete_public_access_block(Bucket=account.environment.media.bucket)


def _keep_no_versions(account: Account) -> None:
    account.client("s3").put_bucket_versioning(
        Bucket=account.environment.media.bucket, VersioningConfiguration={"Status": "Suspended"}
    )


def _take_the_grant_of_media(account: Account) -> None:
    definition = account.client("ecs").describe_task_definition(taskDefinition=account.service("Api")["taskDefinition"])
    role = definition["taskDefinition"]["taskRoleArn"].rpartition("/")[2]
    iam = account.client("iam")
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        iam.delete_role_policy(RoleName=role, PolicyName=name)


def _shorten_backups(account: Account) -> None:
    # AWS Backup would refuse it, which keeps the backups for restore drills; and its next night would put it right.
    backup, vault = account.client("backup"), account.resource("Data", "AWS::Backup::BackupVault")
    plan = account.resource("Data", "AWS::Backup::BackupPlan")
    selection = account.resource("Data", "AWS::Backup::BackupSelection")
    backup.delete_backup_selection(BackupPlanId=plan, SelectionId=selection)
    time.sleep(0.5)  # Lets a backup that has already begun finish.
    pages = backup.get_paginator("list_recovery_points_by_backup_vault").paginate(BackupVaultName=vault)
    for point in [each for page in pages for each in page["RecoveryPoints"]]:
        backup.disassociate_recovery_point(BackupVaultName=vault, RecoveryPointArn=point["RecoveryPointArn"])
    account.client("rds").modify_db_instance(
        DBInstanceIdentifier=account.resource("Data", "AWS::RDS::DBInstance"),
        BackupRetentionPeriod=1,
        ApplyImmediately=True,
    )


def _lift_protection(account: Account) -> None:
    account.client("rds").modify_db_instance(
        DBInstanceIdentifier=account.resource("Data", "AWS::RDS::DBInstance"),
        DeletionProtection=False,
        ApplyImmediately=True,
    )


def _silence_an_alarm(account: Account) -> None:
    cloudwatch = account.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="silent", AlarmDescription="docs/runbooks/none.md", MetricName="m", Namespace="n", Period=60,
        EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold", Statistic="Sum",
    )  # fmt: skip


def _spoil_the_url(account: Account) -> None:
    service = account.service("Api")
    secrets = {each["name"]: each["valueFrom"] for each in account.container(service)["secrets"]}
    account.client("secretsmanager").put_secret_value(SecretId=secrets["REDIS_URL"], SecretString="redis://:x@h:6379/0")


def _release(account: Account) -> None:
    name = account.resources("Registry", "Custom::ImagePointer")[0]
    account.client("ssm").put_parameter(Name=name, Value="elsewhere", Overwrite=True)


def _trust_any_environment(account: Account) -> None:
    """Trusts every environment, the intended one included."""
    issuer, iam = "token.actions.githubusercontent.com", account.client("iam")
    role = next(each for each in account.resources("Delivery", "AWS::IAM::Role") if "DeployRole" in each)
    document = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    (statement,) = document["Statement"]
    del statement["Condition"]["StringEquals"][f"{issuer}:sub"]
    statement["Condition"]["StringLike"] = {f"{issuer}:sub": "repo:daadaar/infrastructure:*"}
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(document))


def _rule(account: Account, phase: str, name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [each for each in account.zone.rulesets[phase]["rules"] if each["ref"] == f"production.{name}"]
    return found


def _cache_briefly(account: Account) -> None:
    _rule(account, "http_request_cache_settings", "media-cache")["action_parameters"]["browser_ttl"]["default"] = 60


def _cache_each_query_string(account: Account) -> None:
    del _rule(account, "http_request_cache_settings", "media-cache")["action_parameters"]["cache_key"]["custom_key"]


def _cache_previews_as_long_as_all_media(account: Account) -> None:
    rules = account.zone.rulesets["http_request_cache_settings"]["rules"]
    rules.append(rules.pop(rules.index(_rule(account, "http_request_cache_settings", "media-cache"))))


def _purge_static_files(account: Account) -> None:
    events, prefix = account.client("events"), account.stack_name("Edge")
    pages = events.get_paginator("list_rules").paginate(NamePrefix=f"{prefix}-MediaPurge")
    (rule,) = [each for page in pages for each in page["Rules"]]
    pattern = json.loads(rule["EventPattern"])
    del pattern["detail"]["object"]
    events.put_rule(Name=rule["Name"], EventPattern=json.dumps(pattern))


def _let_every_page_upload(account: Account) -> None:
    everybody = {"AllowedOrigins": ["*"], "AllowedMethods": ["POST"], "AllowedHeaders": ["*"]}
    account.client("s3").put_bucket_cors(
        Bucket=account.environment.media.bucket, CORSConfiguration={"CORSRules": [everybody]}
    )


def _send_another_user_agent(account: Account) -> None:
    rule = _rule(account, "http_request_late_transform", "media-user-agent")
    rule["action_parameters"]["headers"]["User-Agent"]["value"] = "Mozilla/5.0 (compatible; nobody's zone at all)"


def _show_the_origin(account: Account) -> None:
    for record in account.zone.records.values():
        record["proxied"] = record["proxied"] and record["name"] != account.environment.services["api"].host


def _hide_a_validation_record(account: Account) -> None:
    for record in account.zone.records.values():
        record["proxied"] = record["proxied"] or record["name"].startswith("_")


def _show_no_certificate(account: Account) -> None:
    account.zone.associations[str(account.environment.services["api"].host)]["enabled"] = False


def _drop_owasp(account: Account) -> None:
    rules = account.zone.rulesets["http_request_firewall_managed"]["rules"]
    rules.remove(_rule(account, "http_request_firewall_managed", "waf-owasp"))


def _challenge_programs(account: Account) -> None:
    _rule(account, "http_request_firewall_custom", "programs")["enabled"] = False


def _speak_plainly(account: Account) -> None:
    account.zone.settings["ssl"] = "flexible"


def _count_again(account: Account) -> None:
    account.client("cloudwatch").put_metric_data(
        Namespace=EDGE,
        MetricData=[
            {
                "MetricName": TrafficMetric.WINDOWS.value,
                "Dimensions": [{"Name": "Environment", "Value": account.name}],
                "Timestamp": closed(datetime.now(UTC)) - WINDOW,
                "Value": 1,
            }
        ],
    )


def _unsubscribe_addresses(account: Account) -> None:
    sns = account.client("sns")
    for topic in _topics(account):
        for page in sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic):
            for each in page["Subscriptions"]:
                if each["Protocol"] == "email":
                    sns.unsubscribe(SubscriptionArn=each["SubscriptionArn"])


def _silence_infos(account: Account) -> None:
    """Only a Slack channel gets messages of severity info."""
    cloudwatch = account.client("cloudwatch")
    (info,) = [each for each in _topics(account) if "Info" in each]
    for page in cloudwatch.get_paginator("describe_alarms").paginate():
        for each in page["MetricAlarms"]:
            if info in each["AlarmActions"]:
                cloudwatch.disable_alarm_actions(AlarmNames=[each["AlarmName"]])


def _keep_an_end_to_itself(account: Account) -> None:
    cloudwatch = account.client("cloudwatch")
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmTypes=["CompositeAlarm"])
    alarm = next(each for page in pages for each in page["CompositeAlarms"] if "Incident" in each["AlarmName"])
    given = {key: alarm[key] for key in ("AlarmName", "AlarmRule", "AlarmDescription", "AlarmActions")}
    cloudwatch.put_composite_alarm(**given, OKActions=[])


def _topics(account: Account) -> list[str]:
    return account.resources("Platform", "AWS::SNS::Topic")


def _put_a_worker_before_the_api(account: Account) -> None:
    host = account.environment.services[account.main].host
    account.cloudflare.world.scripts["theirs"] = {"tags": [], "source": ""}
    account.zone.routes["theirs"] = {"id": "theirs", "pattern": f"{host}/*", "script": "theirs"}


SABOTAGE: list[tuple[Callable[[Account], None], str]] = [
    # First, as it also looks for drift at the edge, which others cause.
    (_put_a_worker_before_the_api, "Maintenance answers 503 at the edge and mutes alarms"),
    (_open_a_port, "Only Cloudflare can connect"),
    (_send_another_user_agent, "The media bucket answers our zone only"),
    (_open_the_bucket, "The bucket is private"),
    (_keep_no_versions, "Deleted and replaced media comes back, at the edge as well"),
    (_take_the_grant_of_media, "The API writes, reads and deletes media"),
    (_shorten_backups, "Automated daily backups and point-in-time recovery"),
    (_lift_protection, "Not deleted by accident"),
    (_silence_an_alarm, "Each alarm notifies a topic"),
    (_spoil_the_url, "REDIS_URL reaches the tasks, as a secret"),
    (_release, "ECR with immutable tags and scans"),
    (_trust_any_environment, "GitHub deploys without a stored key"),
    (_cache_briefly, "Media cached a month at the edge, a week in browsers"),
    (_cache_previews_as_long_as_all_media, "Media below a prefix with its own TTL are kept for that time"),
    (_cache_each_query_string, "The query string does not multiply objects in the cache"),
    (_purge_static_files, "What is deleted or replaced leaves the cache"),
    (_let_every_page_upload, "Pages of our sites can upload, within what the API has signed"),
    (_hide_a_validation_record, "A certificate without manual steps"),
    (_show_the_origin, "Every name leads through Cloudflare"),
    (_show_no_certificate, "Only our own Cloudflare zone can connect"),
    (_drop_owasp, "WAF managed and OWASP"),
    (_challenge_programs, "Bots are challenged, and rates limited"),
    (_speak_plainly, "TLS is strict from end to end"),
    (_count_again, "Cloudflare's numbers arrive, each once"),
    (_unsubscribe_addresses, "Each page and its end are mailed"),
    (_silence_infos, "Slack shows each page, its end, and costs"),
    (_keep_an_end_to_itself, "PagerDuty opens an incident for each page, and resolves it"),
]


def test_every_check_passes_at_first(production: Account) -> None:
    # Releases have tests of their own, in this very account.
    checks = [each for each in CHECKS if each.about != "Releases"]
    findings = list(read_back(production, checks))
    assert [finding for finding in findings if finding.status is Status.FAILED] == []
    # No service of production names a secret: tests/rehearsal/test_secrets.py has an environment whose services do.
    excluded = {each.requirement for each in findings if each.status is Status.NOT_ON_THIS_PLAN}
    assert excluded == {
        "A release is refused while one is missing",
        "A changed one replaces the tasks that read it, and no others",
        "They are released and rolled back with the image that they run",
        "An unhealthy one rolls its release back",
        "They run by hand, and say how they ended",
        "Jobs run on their schedule",
        "No one can read an upload before it is scanned",
    }
    passed = {each.requirement for each in findings if each.status is Status.PASSED}
    assert passed | excluded == {each.requirement for each in checks if isinstance(each, Check)}


@pytest.mark.parametrize(("sabotage", "check"), SABOTAGE, ids=[each[0].__name__.strip("_") for each in SABOTAGE])
def test_each_sabotage_fails_its_check(sabotage: Callable[[Account], None], check: str, production: Account) -> None:
    assert has_passed(production, check)
    sabotage(production)
    assert not has_passed(production, check)
