import json
from collections.abc import Callable

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms

from infra_constructs.redis import Redis, RedisProps
from infra_constructs.retention import Retention

GROUP = "AWS::ElastiCache::ReplicationGroup"
TemplateOf = Callable[[Callable[[cdk.Stack], object]], assertions.Template]


@pytest.fixture
def redis(template_of: TemplateOf, vpc: Callable[[cdk.Stack], ec2.IVpc]) -> Callable[[int], assertions.Template]:
    def build(replicas: int) -> assertions.Template:
        def make(stack: cdk.Stack) -> None:
            Redis(
                stack,
                "Redis",
                vpc=vpc(stack),
                key=kms.Key(stack, "Key"),
                clients=[],
                props=RedisProps(
                    node_type="cache.t4g.small", replicas=replicas, snapshot_days=3, retention=Retention.kept()
                ),
            )

        return template_of(make)

    return build


@pytest.mark.parametrize("replicas", [0, 1, 5])
def test_is_encrypted_and_authenticated_whatever_its_size(
    replicas: int, redis: Callable[[int], assertions.Template]
) -> None:
    redis(replicas).has_resource_properties(
        GROUP,
        {
            "TransitEncryptionEnabled": True,
            "TransitEncryptionMode": "required",
            "AtRestEncryptionEnabled": True,
            "KmsKeyId": assertions.Match.any_value(),
            "AuthToken": assertions.Match.any_value(),
            "SnapshotRetentionLimit": 3,
            "NumCacheClusters": 1 + replicas,
        },
    )


@pytest.mark.parametrize(("replicas", "survives"), [(0, False), (1, True), (2, True)])
def test_a_replica_makes_it_survive_a_zone(
    replicas: int, survives: bool, redis: Callable[[int], assertions.Template]
) -> None:
    redis(replicas).has_resource_properties(GROUP, {"MultiAZEnabled": survives, "AutomaticFailoverEnabled": survives})


def test_the_url_holds_a_reference_and_no_token(redis: Callable[[int], assertions.Template]) -> None:
    template = redis(1)
    template.has_resource_properties("AWS::SecretsManager::Secret", {"Description": "REDIS_URL"})
    url = next(
        json.dumps(each["Properties"]["SecretString"])
        for each in template.find_resources("AWS::SecretsManager::Secret").values()
        if each["Properties"]["Description"] == "REDIS_URL"
    )
    assert '"rediss://:{{resolve:secretsmanager:' in url
    assert "PrimaryEndPoint.Address" in url
    assert url.rstrip('"]} ').endswith(":6379/0")


def test_the_token_needs_no_encoding_inside_a_url(redis: Callable[[int], assertions.Template]) -> None:
    redis(1).has_resource_properties(
        "AWS::SecretsManager::Secret",
        {"GenerateSecretString": {"ExcludePunctuation": True, "IncludeSpace": False, "PasswordLength": 64}},
    )
