import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns

from infra_constructs.alarms.elasticache import ElastiCacheAlarms
from infra_constructs.alarms.redis_purpose import CACHE
from infra_constructs.redis.elasticache import ElastiCache, ElastiCacheProps
from infra_constructs.redis.external import ExternalRedis
from infra_constructs.redis.instance import RedisInstance
from infra_constructs.redis.probe import RedisProbe
from infra_constructs.redis.upstash import UpstashProps, UpstashRedis
from infra_constructs.retention import Retention
from infra_constructs.state_store import StateStore
from infra_runtime.contract.redis_url import parse, require_deployable

GROUP, SECRET, EGRESS = (
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::SecretsManager::Secret",
    "AWS::EC2::SecurityGroupEgress",
)
TemplateOf = Callable[[Callable[[cdk.Stack], object]], assertions.Template]
Vpc = Callable[[cdk.Stack], ec2.IVpc]


def cache(stack: cdk.Stack, vpc: ec2.IVpc, **chosen: Any) -> ElastiCache:
    small: dict[str, Any] = {"engine": "valkey-8.1", "node_type": "cache.t4g.small", "replicas": 1, "shards": None}
    props = ElastiCacheProps(**{**small, "snapshot_days": 3, "eviction": True, "retention": Retention.kept(), **chosen})
    return ElastiCache(stack, "Main", vpc=vpc, key=kms.Key(stack, "Key"), events=sns.Topic(stack, "Info"), props=props)


@pytest.fixture
def elasticache(template_of: TemplateOf, vpc: Vpc) -> Callable[..., assertions.Template]:
    return lambda **chosen: template_of(lambda stack: cache(stack, vpc(stack), **chosen))


@pytest.mark.parametrize("replicas", [0, 1, 5])
def test_is_encrypted_and_authenticated_whatever_its_size(
    replicas: int, elasticache: Callable[..., assertions.Template]
) -> None:
    elasticache(replicas=replicas).has_resource_properties(
        GROUP,
        {
            "TransitEncryptionEnabled": True,
            "TransitEncryptionMode": "required",
            "AtRestEncryptionEnabled": True,
            "KmsKeyId": assertions.Match.any_value(),
            "AuthToken": assertions.Match.any_value(),
            "NotificationTopicArn": assertions.Match.any_value(),
            "SnapshotRetentionLimit": 3,
            "NumCacheClusters": 1 + replicas,
        },
    )


@pytest.mark.parametrize(("replicas", "survives"), [(0, False), (1, True), (2, True)])
def test_a_replica_makes_it_survive_a_zone(
    replicas: int, survives: bool, elasticache: Callable[..., assertions.Template]
) -> None:
    elasticache(replicas=replicas).has_resource_properties(
        GROUP, {"MultiAZEnabled": survives, "AutomaticFailoverEnabled": survives}
    )


def test_shards_are_cluster_mode_and_change_without_a_new_group(
    elasticache: Callable[..., assertions.Template],
) -> None:
    template = elasticache(shards=4, replicas=2)
    template.has_resource_properties(
        GROUP,
        {
            "ClusterMode": "enabled",
            "NumNodeGroups": 4,
            "ReplicasPerNodeGroup": 2,
            "NumCacheClusters": assertions.Match.absent(),
        },
    )
    template.has_resource(GROUP, {"UpdatePolicy": {"UseOnlineResharding": True}})
    template.has_resource_properties(
        "AWS::ElastiCache::ParameterGroup",
        {"Properties": {"cluster-enabled": "yes", "maxmemory-policy": "volatile-ttl"}},
    )


def test_a_queue_has_its_own_parameter_group_without_eviction(
    elasticache: Callable[..., assertions.Template],
) -> None:
    groups = "AWS::ElastiCache::ParameterGroup"
    template = elasticache(eviction=False)
    template.has_resource_properties(groups, {"Properties": {"maxmemory-policy": "noeviction"}})
    # CloudFormation cannot update such a group's description: a cache that becomes a queue uses another group.
    assert not set(template.find_resources(groups)) & set(elasticache().find_resources(groups))
    assert set(template.find_resources(GROUP)) == set(elasticache().find_resources(GROUP))


@pytest.mark.parametrize(("engine", "family"), [("valkey-7.2", "valkey7"), ("valkey-8.1", "valkey8")])
def test_another_engine_is_an_update_of_the_same_group(
    engine: str, family: str, elasticache: Callable[..., assertions.Template]
) -> None:
    template = elasticache(engine=engine)
    template.has_resource_properties(GROUP, {"Engine": "valkey", "EngineVersion": engine.partition("-")[2]})
    template.has_resource_properties("AWS::ElastiCache::ParameterGroup", {"CacheParameterGroupFamily": family})
    assert set(template.find_resources(GROUP)) == set(elasticache().find_resources(GROUP))


@pytest.mark.parametrize(("shards", "form"), [(None, "single"), (3, "cluster")])
def test_the_url_is_valid_and_contains_no_token(
    shards: int | None, form: str, elasticache: Callable[..., assertions.Template]
) -> None:
    template = elasticache(shards=shards)
    (url,) = template.find_resources(SECRET, {"Properties": {"Description": "REDIS_URL"}}).values()
    joined = url["Properties"]["SecretString"]["Fn::Join"][1]
    assert "{{resolve:secretsmanager:" in json.dumps(joined)
    assert ("ConfigurationEndPoint.Address" if shards else "PrimaryEndPoint.Address") in json.dumps(joined)
    # As CloudFormation composes it: references are replaced by letters and digits.
    text = "".join(each if isinstance(each, str) else "x" for each in joined)
    resolved = text.replace(text[text.index("{{") : text.index("}}") + 2], "Token123").replace(
        "@x:", "@cache.example.com:"
    )
    target = parse(resolved)
    require_deployable(target)
    assert (target.form, target.nodes[0].port, target.database) == (form, 6379, 0)
    template.has_resource_properties(
        SECRET, {"GenerateSecretString": {"ExcludePunctuation": True, "IncludeSpace": False, "PasswordLength": 64}}
    )


def test_nodes_are_watched_under_the_names_that_elasticache_gives_them(template_of: TemplateOf, vpc: Vpc) -> None:
    def make(stack: cdk.Stack) -> None:
        group = cache(stack, vpc(stack), shards=3, replicas=1)
        topics: Any = dict.fromkeys(("critical", "warning", "info"), sns.Topic(stack, "Topic"))
        ElastiCacheAlarms(
            stack, "Nodes", nodes=group.nodes(), node_type="cache.t4g.small", purpose=CACHE, topics=topics
        )

    alarms = template_of(make).find_resources("AWS::CloudWatch::Alarm")
    assert len(alarms) == 3 * 5
    text = json.dumps(alarms)
    for name in ("-0001-001", "-0001-002", "-0003-002"):
        assert name in text
    assert "-0004-001" not in text
    # A small node allows fewer connections.
    assert [each["Properties"]["Threshold"] for key, each in alarms.items() if "Connections" in key] == [16000] * 3


def instances(stack: cdk.Stack) -> list[RedisInstance]:
    return [
        UpstashRedis(
            stack,
            "Upstash",
            credentials_secret="example/upstash",
            store=StateStore(product="example", environment="test", about="redis"),
            props=UpstashProps(
                environment="test",
                instance="main",
                database="example-test-main",
                region="eu-central-1",
                read_regions=["us-east-1"],
                eviction=False,
            ),
        ),
        ExternalRedis(stack, "External", url_secret="example/redis-url", ports=[7000, 26379]),
    ]


def test_redis_outside_of_the_vpc_is_reached_on_its_ports_only(template_of: TemplateOf, vpc: Vpc) -> None:
    def make(stack: cdk.Stack) -> None:
        network = vpc(stack)
        client = ec2.SecurityGroup(stack, "Client", vpc=network, allow_all_outbound=False)
        for instance in instances(stack):
            instance.allow_from(client, as_="Api")

    rules = template_of(make).find_resources(EGRESS).values()
    assert sorted(rule["Properties"]["FromPort"] for rule in rules) == [6379, 6380, 7000, 26379]
    assert all(rule["Properties"]["FromPort"] == rule["Properties"]["ToPort"] for rule in rules)


def test_the_request_to_upstash_contains_no_secret(template_of: TemplateOf) -> None:
    template = template_of(instances)
    (database,) = template.find_resources("Custom::UpstashDatabase").values()
    document = json.loads(database["Properties"]["Document"])
    assert document == {"name": "example-test-main", "region": "eu-central-1", "read_regions": ["us-east-1"],
                        "eviction": False}  # fmt: skip
    (url,) = template.find_resources(SECRET, {"Properties": {"Description": "REDIS_URL"}}).values()
    assert set(url["Properties"]) == {"Description"}, "the provider writes the value"


def test_the_probe_is_in_the_vpc_and_runs_every_minute(template_of: TemplateOf, vpc: Vpc) -> None:
    def make(stack: cdk.Stack) -> None:
        network = vpc(stack)
        group = cache(stack, network)
        probe = RedisProbe(
            stack,
            "Probe",
            vpc=network,
            instance=group,
            environment="test",
            name="main",
            health_urls=["https://x/health"],
        )
        probe.gate(stack, "Gate")

    template = template_of(make)
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {
            "Handler": "infra_runtime.redis.monitor.handler",
            "VpcConfig": {"SubnetIds": ["subnet-a2", "subnet-b2", "subnet-c2"]},
            "Environment": {"Variables": {"INSTANCE": "main", "HEALTH_URLS": "https://x/health"}},
        },
    )
    template.has_resource_properties("AWS::Lambda::EventInvokeConfig", {"MaximumRetryAttempts": 0})
    rates = {each["Properties"]["ScheduleExpression"] for each in template.find_resources("AWS::Events::Rule").values()}
    assert rates == {"rate(1 minute)", "rate(5 minutes)"}
    # Ingress and egress, and only the URL's own secret.
    template.has_resource_properties("AWS::EC2::SecurityGroupIngress", {"FromPort": 6379, "ToPort": 6379})
    (gate,) = template.find_resources("Custom::RedisGate").values()
    assert any("Group" in each for each in gate["DependsOn"])
