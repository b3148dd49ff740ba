from collections.abc import Callable

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms

from config.instances import connections, memory_gib
from infra_constructs.database import Database, DatabaseProps
from infra_constructs.retention import Retention

INSTANCE = "AWS::RDS::DBInstance"
KEPT = Retention.kept()
DISPOSABLE = Retention.disposable(reason="only the tests look at it, and briefly")
VpcOf = Callable[[cdk.Stack], ec2.IVpc]
TemplateOf = Callable[[Callable[[cdk.Stack], object]], assertions.Template]


@pytest.fixture
def database(template_of: TemplateOf, vpc: VpcOf) -> Callable[..., assertions.Template]:
    def build(retention: Retention = KEPT, *, multi_az: bool = True) -> assertions.Template:
        def make(stack: cdk.Stack) -> None:
            network = vpc(stack)
            Database(
                stack,
                "Database",
                vpc=network,
                key=kms.Key(stack, "Key"),
                clients=[ec2.SecurityGroup(stack, "Client", vpc=network)],
                props=DatabaseProps(
                    version=17,
                    instance_type=ec2.InstanceType("r8g.large"),
                    multi_az=multi_az,
                    storage_gib=100,
                    max_storage_gib=1000,
                    pitr_days=35,
                    insights="advanced",
                    retention=retention,
                ),
            )

        return template_of(make)

    return build


@pytest.mark.parametrize("retention", [KEPT, DISPOSABLE], ids=["kept", "disposable"])
def test_is_encrypted_and_private_even_if_disposable(
    retention: Retention, database: Callable[..., assertions.Template]
) -> None:
    database(retention).has_resource_properties(
        INSTANCE,
        {
            "StorageEncrypted": True,
            "KmsKeyId": assertions.Match.any_value(),
            "PubliclyAccessible": False,
            "ManageMasterUserPassword": True,
            "MasterUserPassword": assertions.Match.absent(),
            "BackupRetentionPeriod": 35,
            "MaxAllocatedStorage": 1000,
            "CopyTagsToSnapshot": True,
        },
    )


def test_the_template_pins_only_the_major_version(
    database: Callable[..., assertions.Template],
) -> None:
    database().has_resource_properties(
        INSTANCE, {"EngineVersion": "17", "AutoMinorVersionUpgrade": True, "AllowMajorVersionUpgrade": False}
    )


def test_parameters_for_an_upgrade_and_its_rollback_exist_beforehand(
    database: Callable[..., assertions.Template],
) -> None:
    """A parameter group for each version, and logical replication, which takes effect at a restart only."""
    parameters = assertions.Match.object_like({"rds.logical_replication": "1", "rds.force_ssl": "1"})
    for family in ("postgres17", "postgres18"):
        database().has_resource_properties("AWS::RDS::DBParameterGroup", {"Family": family, "Parameters": parameters})


def test_forces_tls(database: Callable[..., assertions.Template]) -> None:
    database().has_resource_properties("AWS::RDS::DBParameterGroup", {"Parameters": {"rds.force_ssl": "1"}})


def test_kept_data_outlives_its_stack(database: Callable[..., assertions.Template]) -> None:
    database(KEPT).has_resource(
        INSTANCE,
        {
            "DeletionPolicy": "Snapshot",
            "UpdateReplacePolicy": "Snapshot",
            "Properties": {"DeletionProtection": True, "DeleteAutomatedBackups": False},
        },
    )


def test_disposable_data_is_deleted_with_its_stack(database: Callable[..., assertions.Template]) -> None:
    database(DISPOSABLE).has_resource(
        INSTANCE, {"DeletionPolicy": "Delete", "Properties": {"DeletionProtection": False}}
    )


def test_multi_az_follows_the_environment(database: Callable[..., assertions.Template]) -> None:
    database(multi_az=True).has_resource_properties(INSTANCE, {"MultiAZ": True})
    database(multi_az=False).has_resource_properties(INSTANCE, {"MultiAZ": False})


def test_only_its_clients_reach_it_and_it_connects_to_nothing(database: Callable[..., assertions.Template]) -> None:
    template = database()
    template.has_resource_properties(
        "AWS::EC2::SecurityGroupIngress",
        {"FromPort": 5432, "ToPort": 5432, "SourceSecurityGroupId": assertions.Match.any_value()},
    )
    template.resource_properties_count_is("AWS::EC2::SecurityGroupIngress", {"IpProtocol": "tcp"}, 1)
    template.has_resource_properties(
        "AWS::EC2::SecurityGroup",
        {
            "GroupDescription": "PostgreSQL from the services",
            "SecurityGroupEgress": [assertions.Match.object_like({"CidrIp": "255.255.255.255/32"})],
            "SecurityGroupIngress": assertions.Match.absent(),
        },
    )


@pytest.mark.parametrize(
    ("instance_class", "gib"),
    [
        ("t4g.micro", 1),
        ("t4g.medium", 4),
        ("m7g.large", 8),
        ("r8g.large", 16),
        ("r7g.xlarge", 32),
        ("r8g.4xlarge", 128),
    ],
)
def test_memory_of_an_instance_class_is_as_documented(instance_class: str, gib: float) -> None:
    """Figures of AWS's instance type pages."""
    assert memory_gib(instance_class) == gib


@pytest.mark.parametrize(
    ("instance_class", "count"), [("t4g.micro", 101), ("t4g.medium", 405), ("r8g.large", 1622), ("r8g.48xlarge", 5000)]
)
def test_connections_follow_the_class(instance_class: str, count: int) -> None:
    assert connections(instance_class) == count
