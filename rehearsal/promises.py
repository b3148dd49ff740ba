"""What REQUIREMENTS.md promises, read back from what was really deployed.

Each promise says what was found, or raises `Broken`. What an emulator cannot show is said to be not shown: it is
listed in docs/unverified-on-live.md with the command that shows it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rehearsal.account import Account


class Broken(Exception):
    """What was found instead."""


@dataclass(frozen=True)
class Promise:
    about: str
    promises: str
    read_back: Callable[[Account], str]


@dataclass(frozen=True)
class NotShown:
    about: str
    promises: str
    why: str


def _require(holds: object, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)


def _network_zones(account: Account) -> str:
    ec2 = account.client("ec2")
    vpc = account.resource("Network", "AWS::EC2::VPC")
    found = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    zones = sorted({subnet["AvailabilityZone"] for subnet in found})
    wanted = sorted(account.environment.network.availability_zones)
    _require(zones == wanted, f"zones {zones}, wanted {wanted}")
    _require(len(found) == 3 * len(wanted), f"{len(found)} subnets")
    return f"{len(found)} subnets in {', '.join(zone[-1] for zone in zones)}"


def _nat(account: Account) -> str:
    """Each private subnet's default route leads to a gateway in its own zone, where there is one for each."""
    ec2 = account.client("ec2")
    vpc = [{"Name": "vpc-id", "Values": [account.resource("Network", "AWS::EC2::VPC")]}]
    zone_of = {each["SubnetId"]: each["AvailabilityZone"] for each in ec2.describe_subnets(Filters=vpc)["Subnets"]}
    gateways = {
        each["NatGatewayId"]: zone_of[each["SubnetId"]]
        for each in ec2.describe_nat_gateways()["NatGateways"]
        if each["State"] == "available" and each["SubnetId"] in zone_of
    }
    routed = 0
    for table in ec2.describe_route_tables(Filters=vpc)["RouteTables"]:
        exits = [route for route in table["Routes"] if route.get("DestinationCidrBlock") == "0.0.0.0/0"]
        for route in exits:
            gateway = route.get("NatGatewayId")
            for association in table["Associations"]:
                if gateway and account.environment.network.nat == "per-az":
                    zone = zone_of[association["SubnetId"]]
                    _require(gateways[gateway] == zone, f"a subnet in {zone} leaves through {gateways[gateway]}")
                routed += bool(gateway or route.get("InstanceId"))
    kind = account.environment.network.nat
    expected = {"per-az": len(account.environment.network.availability_zones), "single": 1, "instance": 0}[kind]
    _require(len(gateways) == expected, f"{len(gateways)} gateways, wanted {expected}")
    _require(routed == len(account.environment.network.availability_zones), f"{routed} private subnets have a way out")
    return (
        f"{len(gateways)} gateways, {routed} private subnets routed" if gateways else f"one instance, {routed} routed"
    )


def _default_group(account: Account) -> str:
    vpc = account.resource("Network", "AWS::EC2::VPC")
    groups = account.client("ec2").describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    _require(len(groups) == 1, f"{len(groups)} default groups")
    rules = groups[0]["IpPermissions"] + groups[0]["IpPermissionsEgress"]
    _require(not rules, f"{len(rules)} rules left in it")
    return "no rule left, by the custom resource"


def _flow_logs(account: Account) -> str:
    vpc = account.resource("Network", "AWS::EC2::VPC")
    logs = [each for each in account.client("ec2").describe_flow_logs()["FlowLogs"] if each["ResourceId"] == vpc]
    _require(len(logs) == 1, f"{len(logs)} flow logs")
    return f"{logs[0]['TrafficType']} to {logs[0]['LogDestinationType']}"


def _database(account: Account) -> str:
    found = _instance(account)
    wanted = account.environment.database
    _require(found["Engine"] == "postgres", f"engine {found['Engine']}")
    _require(found["MultiAZ"] == wanted.multi_az, f"MultiAZ is {found['MultiAZ']}")
    _require(found["StorageEncrypted"], "storage is not encrypted")
    _require(not found["PubliclyAccessible"], "publicly accessible")
    _require(found["MaxAllocatedStorage"] == wanted.max_storage_gib, f"grows to {found['MaxAllocatedStorage']}")
    multi = "Multi-AZ" if wanted.multi_az else "one zone, as chosen"
    return f"PostgreSQL {found['EngineVersion']}, {multi}, encrypted, to {wanted.max_storage_gib} GiB"


def _instance(account: Account) -> dict[str, object]:
    identity = account.resource("Data", "AWS::RDS::DBInstance")
    found: dict[str, object] = account.client("rds").describe_db_instances(DBInstanceIdentifier=identity)[
        "DBInstances"
    ][0]
    return found


def _backups(account: Account) -> str:
    days = _instance(account)["BackupRetentionPeriod"]
    _require(days == account.environment.database.pitr_days, f"{days} days")
    return f"daily backups and log archive, {days} days back"


def _database_tls(account: Account) -> str:
    group = account.resource("Data", "AWS::RDS::DBParameterGroup")
    pages = account.client("rds").get_paginator("describe_db_parameters").paginate(DBParameterGroupName=group)
    found = {each["ParameterName"]: each.get("ParameterValue") for page in pages for each in page["Parameters"]}
    _require(found.get("rds.force_ssl") == "1", f"rds.force_ssl is {found.get('rds.force_ssl')}")
    return "rds.force_ssl = 1"


def _database_password(account: Account) -> str:
    secret = _instance(account).get("MasterUserSecret")
    _require(isinstance(secret, dict) and secret.get("SecretArn"), "no managed secret")
    assert isinstance(secret, dict)
    value = account.client("secretsmanager").get_secret_value(SecretId=secret["SecretArn"])["SecretString"]
    _require(set(json.loads(value)) >= {"username", "password"}, "the secret has other keys")
    return "kept and rotated by RDS, in Secrets Manager"


def _rotation(account: Account) -> str:
    """The rule waits for this very secret; its function is run, as the rule would, and has an effect."""
    secret = _instance(account)["MasterUserSecret"]
    assert isinstance(secret, dict)
    events = account.client("events")
    (rule,) = account.resources("Api", "AWS::Events::Rule")
    pattern = json.loads(events.describe_rule(Name=rule.rpartition("/")[2])["EventPattern"])
    _require(pattern["detail"]["additionalEventData"]["SecretId"] == [secret["SecretArn"]], "waits for another secret")
    (target,) = events.list_targets_by_rule(Rule=rule.rpartition("/")[2])["Targets"]
    before = {each["id"] for each in dict(account.services())["Api"]["deployments"]}
    answer = account.client("lambda").invoke(FunctionName=target["Arn"], Payload=b"{}")
    _require("FunctionError" not in answer, answer["Payload"].read().decode()[:200])
    after = {each["id"] for each in dict(account.services())["Api"]["deployments"]}
    _require(after - before, "the function ran, and no deployment was started")
    return "the function ran, and the API was deployed anew"


def _database_protection(account: Account) -> str:
    is_protected = bool(_instance(account)["DeletionProtection"])
    is_kept = account.environment.protection.data == "keep"
    _require(is_protected == is_kept, f"deletion protection is {is_protected}")
    return "deletion protection on" if is_protected else "disposable, as the environment says"


def _replication_group(account: Account) -> dict[str, Any]:
    identity = account.resource("Data", "AWS::ElastiCache::ReplicationGroup")
    answer = account.client("elasticache").describe_replication_groups(ReplicationGroupId=identity)
    found: dict[str, Any] = answer["ReplicationGroups"][0]
    return found


def _redis(account: Account) -> str:
    group = _replication_group(account)
    survives = account.environment.redis.replicas > 0
    _require(group["MultiAZ"] == ("enabled" if survives else "disabled"), f"Multi-AZ is {group['MultiAZ']}")
    _require(group["AutomaticFailover"] == ("enabled" if survives else "disabled"), group["AutomaticFailover"])
    _require(group["TransitEncryptionEnabled"] and group["AtRestEncryptionEnabled"], "not encrypted")
    _require(group["AuthTokenEnabled"], "no AUTH")
    _require(group["SnapshotRetentionLimit"] == account.environment.redis.snapshot_days, "snapshots")
    nodes = len(group["MemberClusters"])
    _require(nodes == 1 + account.environment.redis.replicas, f"{nodes} nodes")
    multi = "Multi-AZ, automatic failover" if survives else "one node, as chosen"
    return f"{nodes} nodes, {multi}, TLS, AUTH, snapshots {group['SnapshotRetentionLimit']} d"


def _redis_url(account: Account) -> str:
    """The secret that the API's task really refers to holds a URL of the contract, to this very group."""
    service = dict(account.services())["Api"]
    secrets = {each["name"]: each["valueFrom"] for each in account.container(service)["secrets"]}
    _require("REDIS_URL" in secrets, f"secrets: {', '.join(secrets)}")
    url = account.client("secretsmanager").get_secret_value(SecretId=secrets["REDIS_URL"])["SecretString"]
    group = _replication_group(account)
    host = group["NodeGroups"][0]["PrimaryEndpoint"]["Address"]
    _require(url.startswith("rediss://:"), "not rediss:// with a password")
    _require("{{resolve" not in url and "${" not in url, "a reference in it was never resolved")
    _require(url.endswith(f"@{host}:6379/0"), "not this group's primary")
    return "rediss://:********@primary:6379/0, as a secret of the task"


def _media(account: Account) -> str:
    s3, bucket = account.client("s3"), account.environment.media.bucket
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    _require(all(block.values()) and len(block) == 4, f"Block Public Access: {block}")
    _require(s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled", "not versioned")
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    denies = [
        each
        for each in policy["Statement"]
        if each["Effect"] == "Deny" and each.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport") == "false"
    ]
    _require(denies, "plain HTTP is not denied")
    return f"{bucket}: private (4 of 4), versioned, TLS only"


def _media_lifecycle(account: Account) -> str:
    found = account.client("s3").get_bucket_lifecycle_configuration(Bucket=account.environment.media.bucket)["Rules"]
    _require([rule["Status"] for rule in found] == ["Enabled"], f"{len(found)} rules")
    _require("Days" not in found[0].get("Expiration", {}), "it expires objects that are in use")
    return f"old versions after {found[0]['NoncurrentVersionExpiration']['NoncurrentDays']} days"


def _services(account: Account) -> str:
    found = []
    for stack, service in account.services():
        network = service["networkConfiguration"]["awsvpcConfiguration"]
        _require(network["assignPublicIp"] == "DISABLED", f"{stack} has public addresses")
        providers = [each["capacityProvider"] for each in service.get("capacityProviderStrategy", [])]
        _require(providers and set(providers) <= {"FARGATE", "FARGATE_SPOT"}, f"{stack} runs on {providers}")
        container = account.container(service)
        _require(container["readonlyRootFilesystem"], f"{stack} can write its root filesystem")
        _require(container["linuxParameters"]["capabilities"]["drop"] == ["ALL"], f"{stack} keeps capabilities")
        _require(service["loadBalancers"], f"{stack} is behind no load balancer")
        found.append(f"{stack.lower()} on {providers[0]}")
    return ", ".join(found) + "; private, read-only, behind the ALB"


def _blue_green(account: Account) -> str:
    minutes = []
    for stack, service in account.services():
        deployment = service["deploymentConfiguration"]
        _require(deployment.get("strategy") == "BLUE_GREEN", f"{stack}: strategy {deployment.get('strategy')}")
        _require(deployment["minimumHealthyPercent"] == 100, f"{stack}: {deployment['minimumHealthyPercent']} %")
        alarms = deployment["alarms"]
        _require(alarms["enable"] and alarms["rollback"] and alarms["alarmNames"], f"{stack}: alarms {alarms}")
        known = account.client("cloudwatch").describe_alarms(AlarmNames=alarms["alarmNames"])["MetricAlarms"]
        _require(len(known) == len(alarms["alarmNames"]), f"{stack}: an alarm that gates releases does not exist")
        minutes.append(f"{stack.lower()} bakes {deployment['bakeTimeInMinutes']} min")
    return ", ".join(minutes) + "; alarms roll back"


def _autoscaling(account: Account) -> str:
    scaling = account.client("application-autoscaling")
    targets = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    policies = scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
    found = []
    for stack, service in account.services():
        cluster = service["clusterArn"].rpartition("/")[2]
        identity = f"service/{cluster}/{service['serviceName']}"
        mine = [each for each in targets if each["ResourceId"] == identity]
        _require(len(mine) == 1, f"{stack}: {len(mine)} scalable targets")
        metrics = {
            each["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]["PredefinedMetricType"]
            for each in policies
            if each["ResourceId"] == identity
        }
        _require(
            metrics == {"ECSServiceAverageCPUUtilization", "ECSServiceAverageMemoryUtilization"}, f"{stack}: {metrics}"
        )
        found.append(f"{stack.lower()} {mine[0]['MinCapacity']}-{mine[0]['MaxCapacity']}")
    return ", ".join(found) + " tasks, on CPU and memory"


def _frontend(account: Account) -> str:
    if account.environment.frontend.ecs is not None:
        _require("Frontend" in dict(account.services()), "no frontend service")
        return f"ECS, host {account.environment.domains.site}"
    return f"Amplify, app {account.resource('Frontend', 'AWS::Amplify::App')}"


def _entrance(account: Account) -> str:
    elb = account.client("elbv2")
    arn = account.resource("Platform", "AWS::ElasticLoadBalancingV2::LoadBalancer")
    balancer = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
    listeners = elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]
    _require({each["Protocol"] for each in listeners} == {"HTTPS"}, "a listener without TLS")
    groups = account.client("ec2").describe_security_groups(GroupIds=balancer["SecurityGroups"])["SecurityGroups"]
    ingress = [rule for group in groups for rule in group["IpPermissions"]]
    opened = [rule for rule in ingress if rule.get("IpRanges") or rule.get("Ipv6Ranges")]
    _require(ingress and not opened, f"{len(opened)} rules name address ranges, {len(ingress)} rules in all")
    lists = [each["PrefixListId"] for rule in ingress for each in rule["PrefixListIds"]]
    entries = account.client("ec2").get_managed_prefix_list_entries(PrefixListId=lists[0])["Entries"]
    _require(len(entries) >= 10, f"{len(entries)} ranges")
    ports = sorted({rule["FromPort"] for rule in ingress})
    return f"HTTPS on {', '.join(map(str, ports))} from Cloudflare's {len(entries)} ranges only"


def _hosts(account: Account) -> str:
    elb = account.client("elbv2")
    arn = account.resource("Platform", "AWS::ElasticLoadBalancingV2::LoadBalancer")
    production = [each for each in elb.describe_listeners(LoadBalancerArn=arn)["Listeners"] if each["Port"] == 443]
    _require(production[0]["DefaultActions"][0]["Type"] == "fixed-response", "an unknown host reaches a service")
    rules = elb.describe_rules(ListenerArn=production[0]["ListenerArn"])["Rules"]
    hosts = sorted(
        host
        for rule in rules
        for condition in rule["Conditions"]
        for host in condition.get("HostHeaderConfig", {}).get("Values", []) or condition.get("Values", [])
    )
    domains = account.environment.domains
    wanted = [domains.api] + ([domains.site] if account.environment.frontend.ecs is not None else [])
    _require(hosts == sorted(wanted), f"hosts {hosts}")
    return f"{', '.join(hosts)}; any other host gets 404"


def _images(account: Account) -> str:
    ecr = account.client("ecr")
    names = account.resources("Registry", "AWS::ECR::Repository")
    for each in ecr.describe_repositories(repositoryNames=names)["repositories"]:
        _require(each["imageTagMutability"] == "IMMUTABLE", f"{each['repositoryName']}: tags can move")
        _require(each["imageScanningConfiguration"]["scanOnPush"], f"{each['repositoryName']}: not scanned")
    pointers = account.resources("Registry", "Custom::ImagePointer")
    values = {account.client("ssm").get_parameter(Name=name)["Parameter"]["Value"] for name in pointers}
    _require(values == {account.environment.bootstrap_image}, f"pointers say {values}")
    return f"{len(names)} repositories, immutable, scanned; pointers seeded by Lambda"


def _alarms(account: Account) -> str:
    topics = set(account.resources("Platform", "AWS::SNS::Topic"))
    found = [
        alarm
        for page in account.client("cloudwatch").get_paginator("describe_alarms").paginate()
        for alarm in page["MetricAlarms"]
    ]
    _require(len(found) >= 12, f"only {len(found)} alarms")
    for alarm in found:
        for kind in ("AlarmActions", "OKActions"):
            _require(alarm[kind] and set(alarm[kind]) <= topics, f"{alarm['AlarmName']}: {kind} {alarm[kind]}")
        _require("docs/runbooks/" in alarm["AlarmDescription"], f"{alarm['AlarmName']} names no runbook")
    used = {action for alarm in found for action in alarm["AlarmActions"]}
    return f"{len(found)} alarms, each with alarm and OK action, over {len(used)} severities"


def _subscribers(account: Account) -> str:
    sns, counts = account.client("sns"), []
    for topic in account.resources("Platform", "AWS::SNS::Topic"):
        _require(
            sns.get_topic_attributes(TopicArn=topic)["Attributes"].get("KmsMasterKeyId"), f"{topic} is not encrypted"
        )
        counts.append(len(sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]))
    alarms = account.environment.alarms
    _require(sorted(counts) == sorted(map(len, (alarms.critical, alarms.warning, alarms.info))), f"{counts}")
    return f"3 topics, encrypted, {sum(counts)} addresses"


def _deploy_role(account: Account) -> str:
    delivery = account.environment.delivery
    role = account.client("iam").get_role(RoleName=account.resource("Delivery", "AWS::IAM::Role"))["Role"]
    document = role["AssumeRolePolicyDocument"]
    trust = json.loads(document) if isinstance(document, str) else document
    _require(len(trust["Statement"]) == 1, "more than one way in")
    condition = trust["Statement"][0]["Condition"]
    subject = f"repo:{delivery.repository}:environment:{delivery.environment}"
    _require(set(condition) == {"StringEquals"}, f"conditions {set(condition)}")
    _require(subject in condition["StringEquals"].values(), f"{condition}")
    _require("sts.amazonaws.com" in condition["StringEquals"].values(), "no audience")
    return f"only {subject}"


PROMISES: tuple[Promise | NotShown, ...] = (
    Promise("Network", "Every tier in every zone of the environment", _network_zones),
    Promise("Network", "A way out of every private subnet, by its own zone where chosen", _nat),
    Promise("Network", "The default security group lets nothing through", _default_group),
    Promise("Network", "Refused connections are logged", _flow_logs),
    Promise("Database", "RDS PostgreSQL, private, encrypted, growing by itself", _database),
    Promise("Database", "Automated daily backups and point-in-time recovery", _backups),
    Promise("Database", "TLS is forced", _database_tls),
    Promise("Database", "Nobody knows the password", _database_password),
    Promise("Database", "A rotated password reaches the API's tasks", _rotation),
    Promise("Database", "Not deleted by accident", _database_protection),
    NotShown("Database", "Restore to a point in time", "the emulator has no restore to a point in time"),
    Promise("Redis", "ElastiCache with TLS and AUTH, Multi-AZ", _redis),
    Promise("Redis", "REDIS_URL reaches the tasks, as a secret", _redis_url),
    NotShown("Redis", "Failover within seconds", "the emulator runs no Redis"),
    Promise("Media", "The bucket is private", _media),
    Promise("Media", "Old versions expire, current ones never", _media_lifecycle),
    Promise("Services", "Fargate behind one load balancer", _services),
    Promise("Services", "Scaling on CPU and memory", _autoscaling),
    Promise("Services", "Next.js is hosted", _frontend),
    Promise("Services", "Blue/green with bake time and alarms", _blue_green),
    NotShown("Services", "Traffic moves without a lost request", "the emulator does not carry out blue/green"),
    Promise("Entrance", "Only Cloudflare can connect", _entrance),
    Promise("Entrance", "Only known hosts are served", _hosts),
    Promise("Images", "ECR with immutable tags and scans", _images),
    Promise("Alarms", "Alarms exist and point at topics", _alarms),
    Promise("Alarms", "Three severities, each with its own listeners", _subscribers),
    NotShown("Alarms", "An alarm reaches a person", "no e-mail leaves this machine"),
    Promise("Delivery", "GitHub deploys without a stored key", _deploy_role),
)


@dataclass(frozen=True)
class Finding:
    """`kept` is None where nothing was shown."""

    about: str
    promises: str
    kept: bool | None
    found: str


def read_back(account: Account, promises: Sequence[Promise | NotShown] = PROMISES) -> Iterator[Finding]:
    """The promises, one after the other; whatever goes wrong while reading is a promise not kept."""
    for promise in promises:
        if isinstance(promise, NotShown):
            yield Finding(promise.about, promise.promises, None, f"not shown here: {promise.why}")
            continue
        try:
            found, kept = promise.read_back(account), True
        except Broken as broken:
            found, kept = str(broken), False
        except Exception as error:  # A read that fails shows nothing, least of all that the promise is kept.
            found, kept = f"{type(error).__name__}: {error}", False
        yield Finding(promise.about, promise.promises, kept, found)
