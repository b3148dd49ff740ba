"""What a difference of small templates means: one for each thing that the engine knows."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from ops.effects import Effect, Impact, effects
from ops.effects.template import Template

DATABASE = {"DBInstanceClass": "db.t4g.micro", "Engine": "postgres", "EngineVersion": "17", "AllocatedStorage": "20"}
CACHE = {"CacheNodeType": "cache.t4g.small", "EngineVersion": "8.1", "NumCacheClusters": 2}


def template(properties: Mapping[str, Any] | None, type_: str = "AWS::RDS::DBInstance", **rest: Any) -> Template:
    """A template with one resource, or with none."""
    return {"Resources": {} if properties is None else {"It": {"Type": type_, "Properties": properties, **rest}}}


def of(before: Template, after: Template) -> list[Effect]:
    return [each for each in effects({"one": before}, {"one": after}) if each.severity is not Impact.SAFE]


def described(before: Template, after: Template) -> str:
    (found,) = of(before, after)
    return f"{found.severity.name.lower()} {found.kind}: {found.what}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"EngineVersion": "17.9"}, []),
        ({"EngineVersion": "16"}, ["dangerous version: would go back from version 17 to 16"]),
        ({"EngineVersion": "18"}, ["dangerous version: would go from version 17 to 18"]),
        (
            {"EngineVersion": "18", "AllowMajorVersionUpgrade": True},
            ["dangerous interrupted: is upgraded from 17 to 18, at once"],
        ),
        ({"AllocatedStorage": 20}, []),
        ({"AllocatedStorage": "19"}, ["impossible refused: would shrink from 20 to 19 GiB"]),
        ({"AllocatedStorage": "40"}, ["look grows: grows from 20 to 40 GiB"]),
        ({"PubliclyAccessible": True}, ["dangerous open: gets a public address"]),
        ({"DBName": "other"}, ["dangerous replaced: is replaced (DBName)"]),
        ({"Engine": "mysql"}, ["dangerous replaced: is replaced (Engine)"]),
        ({"MultiAZ": True}, []),
        ({"DBParameterGroupName": "other"}, ["dangerous interrupted: takes another parameter group, at once"]),
        ({"DBSnapshotIdentifier": "snapshot"}, ["dangerous replaced: is replaced (DBSnapshotIdentifier)"]),
    ],
)
def test_each_change_of_a_database_is_classified(change: Mapping[str, Any], expected: list[str]) -> None:
    found = of(template(DATABASE), template({**DATABASE, **change}))
    assert [f"{each.severity.name.lower()} {each.kind}: {each.what}" for each in found] == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"EngineVersion": "8.0"}, "impossible refused: would go back from version 8.1 to 8.0"),
        ({"NumCacheClusters": 1}, "look less-available: has 1 nodes instead of 2"),
        (
            {"CacheNodeType": "cache.t4g.medium"},
            "look interrupted: changes from cache.t4g.small to cache.t4g.medium, at once",
        ),
        ({"NumNodeGroups": 3}, "dangerous may-be-replaced: may be replaced (NumNodeGroups)"),
        ({"AtRestEncryptionEnabled": True}, "dangerous replaced: is replaced (AtRestEncryptionEnabled)"),
    ],
)
def test_each_change_of_redis_is_classified(change: Mapping[str, Any], expected: str) -> None:
    type_ = "AWS::ElastiCache::ReplicationGroup"
    assert described(template(CACHE, type_), template({**CACHE, **change}, type_)) == expected


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [(2, "the primary by a failover: some seconds"), (1, "It has no replica: it does not answer")],
)
def test_another_version_of_redis_says_how_long_users_notice_it(nodes: int, expected: str) -> None:
    cache, type_ = {**CACHE, "NumCacheClusters": nodes}, "AWS::ElastiCache::ReplicationGroup"
    (found,) = of(template(cache, type_), template({**cache, "EngineVersion": "8.2"}, type_))
    assert (found.kind, found.severity) == ("interrupted", Impact.DANGEROUS)
    assert expected in found.consequence


def test_changed_database_parameters_are_reported() -> None:
    before, after = (template({"Parameters": {"log_lock_waits": each}}, "AWS::RDS::DBParameterGroup") for each in "01")
    assert described(before, after) == "look parameters: has other parameters"


def test_a_resource_with_a_physical_name_cannot_be_replaced() -> None:
    named = {**DATABASE, "DBInstanceIdentifier": "main"}
    found = of(template(named), template({**named, "DBName": "other"}))
    assert [each.kind for each in found] == ["exists", "replaced"]
    assert found[0].severity is Impact.IMPOSSIBLE
    renamed = of(template(named), template({**named, "DBName": "other", "DBInstanceIdentifier": "next"}))
    assert [each.kind for each in renamed] == ["replaced"]


def test_the_same_rule_under_another_logical_id_is_refused() -> None:
    rule = {"Type": "AWS::ElasticLoadBalancingV2::ListenerRule", "Properties": {"ListenerArn": "a", "Priority": 10}}
    before, after = ({"Resources": {name: rule}} for name in ("Old", "New"))
    assert described(before, after) == "impossible exists: is new and the same as Old, which goes later"
    other = {"Resources": {"New": {**rule, "Properties": {"ListenerArn": "a", "Priority": 11}}}}
    assert of(before, other) == []


def test_a_bucket_that_moves_between_stacks_keeps_its_name_until_it_is_gone() -> None:
    bucket = template({"BucketName": "media"}, "AWS::S3::Bucket")
    kept = template({"BucketName": "media"}, "AWS::S3::Bucket", DeletionPolicy="Retain")
    nothing = template(None)

    def exists(before: Mapping[str, Template], after: Mapping[str, Template]) -> bool:
        return any(each.kind == "exists" for each in effects(before, after))

    assert exists({"one": nothing, "two": bucket}, {"one": bucket, "two": nothing}), "created before the other goes"
    assert not exists({"one": bucket, "two": nothing}, {"one": nothing, "two": bucket})
    assert exists({"one": kept, "two": nothing}, {"one": nothing, "two": bucket}), "the old one stays"


def test_a_type_is_not_changed() -> None:
    found = of(template({}, "AWS::SNS::Topic"), template({}, "AWS::SQS::Queue"))
    assert [each.severity for each in found] == [Impact.IMPOSSIBLE]


def test_a_replacement_is_followed_to_an_export_that_is_imported() -> None:
    def states(port: int) -> dict[str, Template]:
        group = {"Type": "AWS::ElasticLoadBalancingV2::TargetGroup", "Properties": {"Port": port, "VpcId": "vpc-1"}}
        export = {"Value": {"Fn::Sub": "${Group.TargetGroupFullName}"}, "Export": {"Name": "group"}}
        alarm = {"Type": "AWS::CloudWatch::Alarm", "Properties": {"Metrics": [{"Fn::ImportValue": "group"}]}}
        return {
            "service": {"Resources": {"Group": group}, "Outputs": {"It": export}},
            "alarms": {"Resources": {"Alarm": alarm}},
        }

    found = effects(states(1), states(2))
    assert [(each.stack, each.kind) for each in found] == [
        ("service", "replaced"), ("service", "in-use"), ("alarms", "changed"),
    ]  # fmt: skip
    assert found[1].severity is Impact.IMPOSSIBLE
    assert "as Group changes" in found[1].what
    alone = states(2)
    del alone["alarms"]
    before = states(1)
    del before["alarms"]
    assert [each.kind for each in effects(before, alone)] == ["replaced"]


def test_a_new_version_of_a_launch_template_replaces_its_instance() -> None:
    def state(description: str) -> Template:
        version = {"Fn::GetAtt": ["Template", "LatestVersionNumber"]}
        instance = {"LaunchTemplate": {"LaunchTemplateId": {"Ref": "Template"}, "Version": version}}
        return {
            "Resources": {
                "Template": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"VersionDescription": description}},
                "Instance": {"Type": "AWS::EC2::Instance", "Properties": instance},
            }
        }

    assert described(state("a"), state("b")) == "dangerous replaced: is replaced (LaunchTemplate, as Template changes)"


def test_a_changed_mapping_counts_as_a_change_of_the_property() -> None:
    def state(value: str) -> Template:
        name = {"Fn::If": ["Is", {"Ref": "Name"}, {"Fn::FindInMap": ["All", "one", "two"]}]}
        return {
            "Parameters": {"Name": {"Type": "String"}},
            "Mappings": {"All": {"one": {"two": value}}},
            "Conditions": {"Is": {"Fn::Equals": ["a", "b"]}},
            **template({"BucketName": name}, "AWS::S3::Bucket"),
        }

    assert described(state("a"), state("b")) == "dangerous replaced: is replaced (BucketName)"
    assert of(state("a"), state("a")) == []


def test_deleting_a_resource_with_data_is_dangerous_and_names_what_stays() -> None:
    consequences = {
        policy: of(template(DATABASE, DeletionPolicy=policy), template(None))[0].consequence
        for policy in ("Delete", "Retain", "Snapshot")
    }
    assert consequences == {
        "Delete": "The database is deleted with all its data.",
        "Retain": "The database stays outside every stack, and is billed.",
        "Snapshot": "The database is deleted; a snapshot of it stays.",
    }


def test_a_port_that_closes_while_a_later_stack_serves_on_it_is_dangerous() -> None:
    rule = {"GroupId": "sg-1", "IpProtocol": "tcp", "FromPort": 4000, "ToPort": 4000}
    network = template(rule, "AWS::EC2::SecurityGroupIngress")
    service = template({"Port": 4000}, "AWS::ElasticLoadBalancingV2::TargetGroup")
    other = template({"Port": 3000}, "AWS::ElasticLoadBalancingV2::TargetGroup")

    def closes(service: Template) -> list[str]:
        return [each.kind for each in effects({"a": network, "b": service}, {"a": template(None), "b": service})]

    assert (closes(service), closes(other)) == (["closed"], ["network"])


@pytest.mark.parametrize(
    ("type_", "name", "principal", "expected"),
    [
        ("AWS::S3::BucketPolicy", "PolicyDocument", "*", "dangerous"),
        ("AWS::KMS::Key", "KeyPolicy", {"AWS": "*"}, "dangerous"),
        ("AWS::SNS::TopicPolicy", "PolicyDocument", {"Service": "events.amazonaws.com"}, "look"),
        ("AWS::IAM::Role", "AssumeRolePolicyDocument", {"AWS": "*"}, "dangerous"),
    ],
)
def test_a_policy_that_lets_anybody_in_is_dangerous(type_: str, name: str, principal: Any, expected: str) -> None:
    statement = {"Effect": "Allow", "Action": "a:Do", "Resource": "*", "Principal": principal}
    before, after = (template({name: {"Statement": each}}, type_) for each in ([], [statement]))
    (found,) = of(before, after)
    assert (found.severity.name.lower(), found.kind) == (expected, "allows")
    conditional = template({name: {"Statement": [{**statement, "Condition": {"Bool": {}}}]}}, type_)
    assert of(before, conditional)[0].severity is Impact.LOOK


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"One": "10.0.3.0/24", "Two": "10.0.1.0/24"}, ["replaced"]),
        ({"One": "10.0.0.0/25", "Two": "10.0.1.0/24"}, ["replaced", "exists"]),
        ({"One": "10.0.1.0/24", "Two": "10.0.0.0/24"}, ["replaced", "exists"] * 2),
        ({"One": "10.0.0.0/24", "Two": "10.0.1.0/24", "Three": "10.0.1.128/25"}, ["exists"]),
    ],
)
def test_subnets_do_not_take_addresses_that_another_still_has(after: dict[str, str], expected: list[str]) -> None:
    def state(cidrs: Mapping[str, str]) -> Template:
        subnets = {
            name: {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": cidr}}
            for name, cidr in cidrs.items()
        }
        return {"Resources": {"Vpc": {"Type": "AWS::EC2::VPC", "Properties": {}}, **subnets}}

    before = {"One": "10.0.0.0/24", "Two": "10.0.1.0/24"}
    assert [each.kind for each in of(state(before), state(after))] == expected


def test_a_service_that_leaves_is_dangerous() -> None:
    found = of(template({}, "AWS::ECS::Service"), template(None))
    assert [(each.severity, each.kind) for each in found] == [(Impact.DANGEROUS, "gone")]


def test_intrinsic_functions_are_accepted_anywhere() -> None:
    """Lists, statements and rules may be functions of other values."""
    one, two = ({"Fn::If": ["It", [{"Ref": "AWS::NoValue"}], value]} for value in ("a", "b"))
    for type_, name in (
        ("AWS::IAM::Role", "Policies"),
        ("AWS::IAM::Policy", "PolicyDocument"),
        ("AWS::EC2::SecurityGroup", "SecurityGroupIngress"),
        ("AWS::ElasticLoadBalancingV2::ListenerRule", "Actions"),
        ("AWS::RDS::DBInstance", "AllocatedStorage"),
        ("AWS::RDS::DBInstance", "EngineVersion"),
    ):
        assert effects({"one": template({name: one}, type_)}, {"one": template({name: two}, type_)}) != []


def test_another_condition_of_a_trust_policy_is_reported() -> None:
    def role(subject: str) -> Template:
        condition = {"StringEquals": {"token.actions.githubusercontent.com:sub": subject}}
        statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "a"}, "Condition": condition}
        return template({"AssumeRolePolicyDocument": {"Statement": [statement]}}, "AWS::IAM::Role")

    more, less = of(role("repo:one"), role("repo:two"))
    assert ((more.kind, "repo:two" in more.what), (less.kind, "repo:one" in less.what)) == (
        ("allows", True),
        ("allows-less", True),
    )


def test_a_database_that_loses_a_zone_may_be_in_it() -> None:
    one, two = {"Fn::ImportValue": "one"}, {"Fn::ImportValue": "two"}
    for type_ in ("AWS::RDS::DBSubnetGroup", "AWS::ElastiCache::SubnetGroup"):
        both, less = (template({"SubnetIds": each}, type_) for each in ([one, two], [one]))
        assert described(both, less) == "dangerous zones: loses a subnet"
        assert of(less, both) == []


def test_a_certificate_of_other_hosts_is_another_one_and_its_listener_is_reported() -> None:
    def of_hosts(*hosts: str, adopt: bool = False) -> Template:
        document = json.dumps({"owner": "dev.certificate", "hosts": hosts, "adopt": adopt})
        listener = {"Port": 443, "Certificates": [{"CertificateArn": {"Ref": "It"}}]}
        return {
            "Resources": {
                "It": {"Type": "Custom::ValidatedCertificate", "Properties": {"Document": document}},
                "Listener": {"Type": "AWS::ElasticLoadBalancingV2::Listener", "Properties": listener},
            }
        }

    def kinds(after: Template) -> list[tuple[str, str, Impact]]:
        found = effects({"one": of_hosts("a.example.com", "b.example.com")}, {"one": after})
        return [(each.resource, each.kind, each.severity) for each in found]

    listener = ("Listener", "changed", Impact.SAFE)
    assert kinds(of_hosts("a.example.com")) == [("It", "uncertified", Impact.DANGEROUS), listener], "one effect for one"
    assert kinds(of_hosts("b.example.com", "a.example.com")) == [("It", "changed", Impact.SAFE)]
    assert kinds(of_hosts("a.example.com", "b.example.com", adopt=True)) == [("It", "changed", Impact.SAFE)]


def _task(image: str = "one", **more: Any) -> Template:
    container = {"Name": "app", "Image": image, "Command": ["node", "server.js"]}
    own = {key: value for key, value in more.items() if key not in ("RuntimePlatform", "serves")}
    definition = {
        "ContainerDefinitions": [{**container, **own}],
        "RuntimePlatform": more.get("RuntimePlatform", {"CpuArchitecture": "ARM64"}),
    }
    service = {"Type": "AWS::ECS::Service", "Properties": {"TaskDefinition": {"Ref": "It"}}}
    found = template(definition, "AWS::ECS::TaskDefinition")
    return {"Resources": {**found["Resources"], **({"Service": service} if more.get("serves", True) else {})}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"Image": "two"}, []),
        ({"Command": ["node", "other.js"]}, ["look image: needs something else of its image (Command)"]),
        (
            {"RuntimePlatform": {"CpuArchitecture": "X86_64"}},
            ["look image: needs something else of its image (RuntimePlatform)"],
        ),
        ({"HealthCheck": {"Command": ["CMD", "ok"]}}, ["look image: needs something else of its image (HealthCheck)"]),
        ({"User": "1000"}, ["look image: needs something else of its image (User)"]),
    ],
)
def test_a_task_that_needs_more_of_its_image_is_reported(change: dict[str, Any], expected: list[str]) -> None:
    found = of(_task(), _task(**change))
    assert [f"{each.severity.name.lower()} {each.kind}: {each.what}" for each in found] == expected


def test_a_task_that_nothing_keeps_running_fails_when_it_is_run() -> None:
    (found,) = of(_task(serves=False), _task(serves=False, Command=["node", "other.js"]))
    assert "The next run fails" in found.consequence


def certificate(*hosts: str) -> Template:
    document = json.dumps({"owner": "dev.certificate", "zone": "example.com", "hosts": hosts})
    return template({"Document": document}, "Custom::ValidatedCertificate")


def test_a_name_that_leaves_the_certificate_before_dns_is_dangerous() -> None:
    assert described(certificate("a.example.com", "b.example.com"), certificate("a.example.com")) == (
        "dangerous uncertified: is replaced by one without b.example.com"
    )
    assert of(certificate("a.example.com"), certificate("a.example.com", "b.example.com")) == []


def names(**records: str) -> Template:
    """DNS records as the stack Edge declares them: the load balancer's name is a reference."""
    parts: list[Any] = ['{"kind":"records","records":[']
    for number, (name, content) in enumerate(records.items()):
        host = f"{name}.example.com"
        parts += [f'{"," if number else ""}{{"name":"{name}","host":"{host}","content":"']
        parts += [{"Fn::ImportValue": content[1:]} if content.startswith("!") else content, '"}']
    return template({"Document": {"Fn::Join": ["", [*parts, "]}"]]}}, "Custom::Cloudflare")


def test_a_name_that_loses_its_record_is_dangerous_and_one_that_leads_elsewhere_worth_a_look() -> None:
    before = names(media="bucket.example.net", www="!balancer")
    assert described(before, names(media="bucket.example.net")) == "dangerous unnamed: no longer have www.example.com"
    assert described(before, names(media="bucket.example.net", www="d1.cloudfront.net")) == (
        "look leads: point www.example.com to d1.cloudfront.net instead of balancer"
    )
    assert of(before, names(www="!balancer", media="bucket.example.net", blog="!balancer")) == []


def test_redis_of_another_shape_is_another_instance() -> None:
    """Even without a replacement: `REDIS_URL` gets another form, and running tasks still have the old one."""
    type_ = "AWS::ElastiCache::ReplicationGroup"
    before = template(CACHE, type_)
    for after in (template({**CACHE, "NumNodeGroups": 3}, type_), template(None)):
        (found,) = of(before, after)
        assert "docs/runbooks/redis-migrate.md" in found.procedure


def test_access_to_media_of_another_bucket_is_another_one() -> None:
    before, after = (template({"Bucket": each, "Sites": "[]"}, "Custom::MediaAccess") for each in ("one", "two"))
    assert described(before, after) == "look replaced: is replaced (Bucket)"
    sites = template({"Bucket": "one", "Sites": '["a"]'}, "Custom::MediaAccess")
    assert of(before, sites) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"region": "eu-west-1"}, ["impossible refused: would move from eu-central-1 to eu-west-1"]),
        ({"name": "shop-dev-last"}, ["impossible refused: would be renamed from shop-dev-next to shop-dev-last"]),
        ({"eviction": False}, []),
    ],
)
def test_a_database_at_upstash_neither_moves_nor_gets_another_name(change: dict[str, Any], expected: list[str]) -> None:
    document = {"name": "shop-dev-next", "region": "eu-central-1", "read_regions": [], "eviction": True}
    before, after = (
        template({"Document": json.dumps(each)}, "Custom::UpstashDatabase")
        for each in (document, {**document, **change})
    )
    assert [f"{each.severity.name.lower()} {each.kind}: {each.what}" for each in of(before, after)] == expected


def test_another_bootstrap_image_reaches_only_what_was_never_released() -> None:
    before, after = (
        template({"Parameter": "/shop/image", "Seed": each}, "Custom::ImagePointer") for each in ("a", "b")
    )
    assert described(before, after) == "look seed: has another seed (a → b)"


def test_another_health_path_stops_tasks_of_users_and_those_of_a_preview_are_worth_a_look() -> None:
    before, after = (
        template({"HealthCheckPath": path}, "AWS::ElasticLoadBalancingV2::TargetGroup") for path in ("/up", "/live")
    )
    for stack, severity in (("shop-dev-api", Impact.DANGEROUS), ("shop-dev-preview1", Impact.LOOK)):
        (found,) = effects({stack: before}, {stack: after})
        assert (found.kind, found.severity) == ("health", severity)


@pytest.mark.parametrize(
    ("changed", "severity"), [({}, Impact.LOOK), ({"Matcher": {"HttpCode": "200"}}, Impact.DANGEROUS)]
)
def test_another_health_path_that_the_deployment_asks_running_tasks_for_first_is_worth_a_look(
    changed: dict[str, Any], severity: Impact
) -> None:
    """The new tasks need only the path."""

    def service(path: str, **more: Any) -> Template:
        group = {"Type": "AWS::ElasticLoadBalancingV2::TargetGroup", "DependsOn": ["Gate"]}
        gate = {"Type": "Custom::HealthPathGate", "Properties": {"Path": path}}
        return {"Resources": {"Gate": gate, "It": {**group, "Properties": {"HealthCheckPath": path, **more}}}}

    found = effects({"shop-dev-api": service("/up")}, {"shop-dev-api": service("/live", **changed)})
    assert [each.severity for each in found if each.kind == "health"] == [severity]


def test_a_condition_that_is_written_differently_may_hold_as_before() -> None:
    """For example the condition of an image pointer, which a deployment reads."""

    def service(bootstrap: str, cpu: str = "256") -> Template:
        command = {"Fn::If": ["IsBootstrap", ["placeholder"], {"Ref": "AWS::NoValue"}]}
        properties = {"Cpu": cpu, "ContainerDefinitions": [{"Name": "app", "Command": command}]}
        return {
            "Conditions": {"IsBootstrap": {"Fn::Equals": [{"Ref": "Image"}, bootstrap]}},
            "Resources": {"It": {"Type": "AWS::ECS::TaskDefinition", "Properties": properties}},
        }

    assert {each.kind for each in effects({"one": service("a")}, {"one": service("b")})} == {"may-be-replaced"}
    assert "replaced" in {each.kind for each in effects({"one": service("a")}, {"one": service("b", cpu="512")})}


def test_a_first_command_replaces_task_definitions_only_if_something_was_released() -> None:
    """The placeholder runs until the first release, and templates do not show whether it does."""

    def service(command: Any, placeholder: str = "placeholder") -> Template:
        chosen = {"Fn::If": ["ReleaseIsBootstrap", [placeholder], command]}
        definition = {"ContainerDefinitions": [{"Name": "app", "Command": chosen}]}
        return {
            "Conditions": {"ReleaseIsBootstrap": {"Fn::Equals": [{"Ref": "Image"}, "node"]}},
            "Resources": {
                "It": {"Type": "AWS::ECS::TaskDefinition", "Properties": definition},
                "Service": {"Type": "AWS::ECS::Service", "Properties": {"TaskDefinition": {"Ref": "It"}}},
            },
        }

    def told(after: Template) -> list[tuple[str, str, Impact]]:
        found = effects({"one": service({"Ref": "AWS::NoValue"})}, {"one": after})
        return [(each.resource, each.kind, each.severity) for each in found]

    service_changes = ("Service", "changed", Impact.SAFE)
    asked = ("It", "image", Impact.LOOK)
    first = [("It", "may-be-replaced", Impact.SAFE), asked, service_changes]
    assert told(service(["node", "server.js"])) == first
    both = [("It", "replaced", Impact.SAFE), asked, service_changes]
    assert told(service(["node", "server.js"], placeholder="another")) == both


def test_another_default_of_a_parameter_changes_nothing_that_is_deployed() -> None:
    """CDK keeps the parameter's value: an empty preview keeps the placeholder image."""

    def preview(default: str) -> Template:
        properties = {"ContainerDefinitions": [{"Name": "app", "Image": {"Ref": "Image"}}]}
        return {
            "Parameters": {"Image": {"Type": "String", "Default": default}},
            "Resources": {"It": {"Type": "AWS::ECS::TaskDefinition", "Properties": properties}},
        }

    assert effects({"one": preview("a")}, {"one": preview("b")}) == []


def test_the_order_of_keys_does_not_matter() -> None:
    """CloudFormation returns keys in another order: here of a condition that refers to a parameter."""

    def service(bootstrap: str, *, reverse: bool) -> Template:
        parameter = {"Type": "String", "Description": "which"}
        properties = {"ContainerDefinitions": [{"Name": "app", "Image": {"Ref": "Image"}}]}
        return {
            "Parameters": {"Image": dict(sorted(parameter.items(), reverse=reverse))},
            "Conditions": {"IsBootstrap": {"Fn::Equals": [{"Ref": "Image"}, bootstrap]}},
            "Resources": {"It": {"Type": "AWS::ECS::TaskDefinition", "Properties": properties}},
        }

    assert effects({"one": service("a", reverse=True)}, {"one": service("b", reverse=False)}) == []
