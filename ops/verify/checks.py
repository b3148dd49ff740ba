"""The assumptions whose error would cost most, each with a way to try it (all: docs/unverified-on-live.md)."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.converge import Conflict
from infra_runtime.contract.revision import APP, containers_of, named
from infra_runtime.release.preflight import deployments, live_weights, tasks_of
from infra_runtime.vendor_api import VendorError
from ops.verify.live import Live, NotHere, require

_ARRIVES_SECONDS = 180.0
_CACHED_SECONDS = 30.0
_ROTATES_SECONDS = 900.0
_RESTARTS_SECONDS = 1200.0
_REVISION_FIELDS = ("taskDefinition", "networkConfiguration")


@dataclass(frozen=True)
class LiveCheck:
    name: str
    assumption: str
    """The row's first column in docs/unverified-on-live.md."""
    if_wrong: str
    try_it: Callable[[Live], str]
    """Returns what it found. Raises `Refuted`, `NotHere`, or what the vendors' clients raise."""


def media_origin(live: Live) -> str:
    """An object that exists for this check is read by its public name, twice, and from S3 directly."""
    host, key = live.environment.domains.media, f"infra/{live.identity}.txt"
    where = {**live.bucket, "Key": key}
    live.client("s3").put_object(**where, Body=b"as it should be\n", ContentType="text/plain")
    live.cleanup.callback(live.client("s3").delete_object, **where)
    first = live.visitor.get(f"https://{host}/{key}")
    require(first.status_code == 200, f"https://{host}/{key} answers {first.status_code}")

    def is_cached() -> bool:
        return bool(live.visitor.get(f"https://{host}/{key}").headers.get("cf-cache-status") == "HIT")

    # Writing purges the object from the cache within seconds, perhaps just after the first answer.
    live.wait_for(f"cf-cache-status: HIT for https://{host}/{key}", _CACHED_SECONDS, is_cached)
    bucket, region = live.environment.media.bucket, live.environment.aws.region
    direct = live.visitor.get(f"https://{bucket}.s3.{region}.amazonaws.com/{key}")
    require(direct.status_code == 403, f"S3 answers {direct.status_code} to a stranger")
    return f"200, then HIT, by {live.environment.media.origin}; S3 answers a stranger 403"


def origin_closed(live: Live) -> str:
    (arn,) = live.resources("platform", "AWS::ElasticLoadBalancingV2::LoadBalancer")
    found = live.client("elbv2").describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
    require(not live.visitor.connects(found["DNSName"], 443), f"{found['DNSName']}:443 accepts a connection from here")
    service = live.environment.services[live.load_balanced]
    answer = live.visitor.get(f"https://{service.host}{service.health_path}")
    # Cloudflare's own: the origin is down, unreachable, timed out, or TLS with it failed.
    require(not 520 <= answer.status_code <= 527, f"Cloudflare answers {answer.status_code}: it cannot get through")
    return f"the load balancer is closed to strangers; {service.host} answers {answer.status_code}"


def host_names(live: Live) -> str:
    """A CNAME with capitals and a dot at its end, as a load balancer's name has them; deleted again."""
    zone = zones.find(live.edge.api, live.environment.domains.zone)
    path = f"/zones/{zone.id}/dns_records"
    written = f"{live.identity}.Example-LB-1A2b.elb.amazonaws.com."
    name = f"{live.identity}.{zone.name}"
    body = {"type": "CNAME", "name": name, "content": written, "proxied": False, "ttl": 1}
    made = live.edge.api.write("POST", path, body)
    live.cleanup.callback(live.edge.api.delete, f"{path}/{made['id']}")
    (content,) = [each["content"] for each in live.edge.api.pages(path) if each["id"] == made["id"]]
    require(content == written.lower().rstrip("."), f"{written} is kept as {content}")
    return "kept in lower case, without the dot at the end"


def declarations(live: Live) -> str:
    """Fields that Cloudflare adds to our objects do not count as changes."""
    undone = []
    for key, document in live.edge.deployed().items():
        try:
            changes = live.edge.subject(document).changes(present=True)
        except Conflict as conflict:
            undone.append(f"{key}: {conflict}")
            continue
        undone += [f"{key}: {each.action} {each.what}" for each in changes]
    require(not undone, f"a second deployment would write: {'; '.join(undone[:5])}")
    return f"{len(live.edge.deployed())} declarations, nothing to write"


def token_reach(live: Live) -> str:
    """According to reports, account-owned tokens do not reach all of these."""
    zone = zones.find(live.edge.api, live.environment.domains.zone)
    entrypoint = "rulesets/phases/http_request_firewall_custom/entrypoint"
    for path in ("bot_management", "argo/tiered_caching", "cache/tiered_cache_smart_topology_enable", entrypoint):
        try:
            live.edge.api.get(f"/zones/{zone.id}/{path}")
        except VendorError as refused:
            # 1142: the setting was never made in this zone; a token that may not read it gets 403.
            require("1142" in str(refused), f"{path}: {refused}")
    return "bot management, tiered caching and rulesets can be read"


def event_to_topic(live: Live) -> str:
    """An event of our own, by a rule, to the encrypted topic for information, to a queue."""
    topic, queue = _queue_behind_the_topic(live)
    events, name = live.client("events"), live.identity
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [f"infra.{name}"]}))
    live.cleanup.callback(events.delete_rule, Name=name)
    events.put_targets(Rule=name, Targets=[{"Id": "topic", "Arn": topic}])
    live.cleanup.callback(events.remove_targets, Rule=name, Ids=["topic"])
    live.clock.sleep(5)  # A new rule matches from some seconds on.
    events.put_events(Entries=[{"Source": f"infra.{name}", "DetailType": "verify", "Detail": "{}"}])
    _received(live, queue, f"infra.{name}", "EventBridge's event")
    return "received through the encrypted topic"


def alarm_to_topic(live: Live) -> str:
    """An alarm of our own, set off by hand, to the same topic."""
    topic, queue = _queue_behind_the_topic(live)
    cloudwatch, name = live.client("cloudwatch"), live.identity
    cloudwatch.put_metric_alarm(
        AlarmName=name, AlarmActions=[topic], Namespace="Infra/Verify", MetricName="None", Statistic="Sum", Period=60,
        EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold", TreatMissingData="ignore",
    )  # fmt: skip
    live.cleanup.callback(cloudwatch.delete_alarms, AlarmNames=[name])
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="infra verify")
    _received(live, queue, name, "CloudWatch's alarm")
    return "received through the encrypted topic"


def _queue_behind_the_topic(live: Live) -> tuple[str, str]:
    """(ARN of the topic with the least urgent messages, URL of a queue subscribed to it)."""
    topic = next(each for each in live.resources("platform", "AWS::SNS::Topic") if "Info" in each.rpartition(":")[2])
    sns, sqs = live.client("sns"), live.client("sqs")
    url = sqs.create_queue(QueueName=live.identity)["QueueUrl"]
    live.cleanup.callback(sqs.delete_queue, QueueUrl=url)
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)
    live.cleanup.callback(sns.unsubscribe, SubscriptionArn=subscription["SubscriptionArn"])
    return topic, url


def _received(live: Live, queue: str, mark: str, what: str) -> None:
    def arrived() -> bool:
        answer = live.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=1, MaxNumberOfMessages=10)
        return any(mark in each["Body"] for each in answer.get("Messages", []))

    live.wait_for(f"{what} at the queue behind the topic", _ARRIVES_SECONDS, arrived, every=2.0)


def weights(live: Live) -> str:
    """ECS moves the weights of the production rule: the group that has them is the one with healthy targets."""
    elb = live.client("elbv2")
    groups = live_weights(live, live.service)
    serving = [arn for arn, weight in groups.items() if weight == 100]
    require(len(serving) == 1 and set(groups.values()) == {0, 100}, f"weights {sorted(groups.values())}")
    states = [each["TargetHealth"]["State"] for each in elb.describe_target_health(TargetGroupArn=serving[0])[
        "TargetHealthDescriptions"]]  # fmt: skip
    require("healthy" in states, f"the group with all of the traffic has targets {states or 'none'}")
    return f"100 to the group with {states.count('healthy')} healthy targets, 0 to the other"


def service_revision(live: Live) -> str:
    """The fields that the release hooks read, and undeclared containers in a task."""
    ecs = live.client("ecs")
    listed = list(deployments(ecs, live.service))
    require(listed, "ECS lists no deployment of the service")
    arn = max(listed, key=lambda each: each["createdAt"])["targetServiceRevisionArn"]
    (revision,) = ecs.describe_service_revisions(serviceRevisionArns=[arn])["serviceRevisions"]
    missing = [each for each in _REVISION_FIELDS if not revision.get(each)]
    require(not missing, f"a service revision has no {', '.join(missing)}")
    names = {each["name"] for task in tasks_of(ecs, live.service) for each in task["containers"]}
    require(APP in names, f"tasks have the containers {', '.join(sorted(names)) or 'none'}, and no {APP}")
    return f"task definition and network are known; containers: {', '.join(sorted(names))}"


def rotation(live: Live) -> str:
    """Secrets Manager rotates the API's login, and tasks with the new one take over."""
    secret = _login(live)
    manager, before = live.client("secretsmanager"), _current(live, secret)
    deployed = _count(live)
    manager.rotate_secret(SecretId=secret)
    live.wait_for("the rotation", _ROTATES_SECONDS, lambda: _current(live, secret) != before)
    live.wait_for("a deployment after it", _RESTARTS_SECONDS, lambda: _count(live) > deployed)
    return "rotated, and a deployment of the API began"


def _login(live: Live) -> str:
    container = named(containers_of(live.client("ecs"), live.service["taskDefinition"]), APP)
    reference: str = next(each["valueFrom"] for each in container["secrets"] if each["name"] == "PGPASSWORD")
    return ":".join(reference.split(":")[:7])


def _current(live: Live, secret: str) -> str:
    versions = live.client("secretsmanager").describe_secret(SecretId=secret)["VersionIdsToStages"]
    return str(next(version for version, stages in versions.items() if "AWSCURRENT" in stages))


def _count(live: Live) -> int:
    return sum(1 for _ in deployments(live.client("ecs"), live.service))


def redis_reached(live: Live) -> str:
    from ops.redis.probe import ask_probe  # noqa: PLC0415  (redis and TLS, for this one check)

    if live.environment.redis.instances[live.environment.redis.serves].elasticache is None:
        raise NotHere("redis.serves is no ElastiCache")
    found = ask_probe(live.session, live.stack("redis"), live.environment.redis.serves, {"report": True})
    require(found["level"] != "critical", f"the probe in the VPC says {found['level']}: {found.get('reason')}")
    return f"usable from inside the VPC ({found['level']})"


CHECKS = (
    LiveCheck("media-origin", "Cloudflare reads the media bucket, keeps what it has read, and refuses all others",
          "every picture is a 403: media.origin = \"worker\"", media_origin),
    LiveCheck("origin-closed", "Only Cloudflare connects to the load balancer, and it gets through",
          "the WAF can be walked around, or every page is a 520", origin_closed),
    LiveCheck("host-names", "Cloudflare keeps a CNAME's content in lower case, without the dot at its end",
          "the stack Edge can never be created", host_names),
    LiveCheck("declarations", "What Cloudflare adds to our objects is no undone work",
          "the stack Edge rolls back, or drift is reported for ever", declarations),
    LiveCheck("token", "The token reaches bot management, tiered caching and rulesets",
          "the stack Edge rolls back at one of them", token_reach),
    LiveCheck("weights", "After a deployment the weights of the production rule are with the healthy targets",
          "a template that is asserted again is an outage", weights),
    LiveCheck("revision", "ECS returns what the release hooks read, also when a task has other containers",
          "every release rolls back", service_revision),
    LiveCheck("events", "EventBridge reaches people through the encrypted topics",
          "no one is notified of failovers and of rolled-back releases", event_to_topic),
    LiveCheck("alarms", "CloudWatch's alarms reach people through the encrypted topics",
          "no one is notified of an outage", alarm_to_topic),
    LiveCheck("redis", "ElastiCache takes the AUTH token over TLS, from inside the VPC",
          "no rate limit is enforced", redis_reached),
    LiveCheck("rotation", "The API's login rotates, and new tasks take over without a CloudTrail trail",
          "the API loses its database at the second rotation", rotation),
)  # fmt: skip
