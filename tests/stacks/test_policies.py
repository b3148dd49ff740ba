"""What no public scanner sees, asked of every template of every environment.

Each question first proves that it finds what it looks for: a misspelt property would answer every one of them. Those
that hold whatever a file says are asked of environments/ as well, in tests/own_environments/test_policies.py.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from config import Environment, available, load, previews, variables
from config.rules import rules_by_phase
from ops.edge.synthesized import text_of

Templates = dict[str, dict[str, Any]]
ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"


def of_type(templates: Templates, kind: str, *, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, resource) of one type, in one environment or in all; at least one, or the question means nothing."""
    found = [
        (f"{stack}/{logical_id}", resource)
        for stack, template in templates.items()
        if stack.startswith(name)
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == kind
    ]
    assert found, f"no {kind} in {name or 'any environment'}"
    yield from found


def ingress(templates: Templates) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, group in of_type(templates, "AWS::EC2::SecurityGroup"):
        for rule in group["Properties"].get("SecurityGroupIngress", []):
            yield where, rule
    for where, rule in of_type(templates, "AWS::EC2::SecurityGroupIngress"):
        yield where, rule["Properties"]


def test_nothing_is_open_to_the_world(templates: Templates, loaded: Mapping[str, Environment]) -> None:
    rules = list(ingress(templates))
    assert any("SourcePrefixListId" in rule for _, rule in rules)
    assert any("SourceSecurityGroupId" in rule for _, rule in rules)
    # The one literal range is the network's own, where NAT is an instance.
    ranges = {(where.partition("/")[0], rule["CidrIp"]) for where, rule in rules if isinstance(rule.get("CidrIp"), str)}
    assert ranges == {(name, each.network.cidr) for name, each in loaded.items() if each.network.nat == "instance"}
    assert [where for where, rule in rules if "CidrIpv6" in rule] == []


def test_the_load_balancer_is_open_to_cloudflare_only(templates: Templates, loaded: Mapping[str, Environment]) -> None:
    by_prefix_list = [(where, rule) for where, rule in ingress(templates) if "SourcePrefixListId" in rule]
    assert {where.partition("/")[0] for where, _ in by_prefix_list} == set(loaded)
    assert {(rule["FromPort"], rule["ToPort"]) for _, rule in by_prefix_list} == {(443, 443)}
    assert {where.partition("/")[0] for where, _ in of_type(templates, "Custom::CloudflareRanges")} == set(loaded)


def test_no_stack_update_reaches_the_list_of_cloudflares_addresses(templates: Templates) -> None:
    # AWS's published handler (aws-cloudformation-resource-providers-ec2-prefix-list, UpdateHandler) fails or removes
    # the entries that are not in the template, whatever was changed: the origin would be out of reach.
    owned = {where for where, _ in of_type(templates, "Custom::CloudflareRanges")}
    named = {
        f"{where.rpartition('/')[0]}/{rule['SourcePrefixListId']['Ref']}"
        for where, rule in ingress(templates)
        if "SourcePrefixListId" in rule
    }
    assert named == owned


def test_what_users_reach_asks_for_our_zones_certificate(templates: Templates) -> None:
    for where, listener in of_type(templates, "AWS::ElasticLoadBalancingV2::Listener"):
        mutual = listener["Properties"].get("MutualAuthentication")
        if listener["Properties"]["Port"] == 443:
            assert mutual["Mode"] == "verify", where
        else:
            assert mutual is None, where


def test_the_lock_closes_only_when_cloudflare_has_the_key(templates: Templates) -> None:
    """Created before the trust store that the listener waits for, and so deleted after the listener."""
    for where, store in of_type(templates, "AWS::ElasticLoadBalancingV2::TrustStore"):
        template = templates[where.rpartition("/")[0]]["Resources"]
        (lock,) = [logical_id for logical_id, each in template.items() if each["Type"] == "Custom::OriginLock"]
        assert lock in store["DependsOn"], where
        stores = {
            listener["Properties"]["MutualAuthentication"]["TrustStoreArn"]["Fn::GetAtt"][0]
            for listener in template.values()
            if listener["Type"] == "AWS::ElasticLoadBalancingV2::Listener"
            and "MutualAuthentication" in listener["Properties"]
        }
        assert stores == {where.rpartition("/")[2]}


def declarations(templates: Templates, name: str, *, stack: str = "Edge") -> dict[str, dict[str, Any]]:
    """Each declaration in the zone, by kind and name; what only AWS knows stands as ? in it."""
    found = {}
    for _, each in of_type(templates, "Custom::Cloudflare", name=f"{name}/{stack}"):
        declared = json.loads(text_of(each["Properties"]["Document"], unknown="?"))
        found[f"{declared['kind']}/{declared['name']}"] = declared
    return found


def test_the_zone_is_asked_for_as_many_rules_as_were_counted(
    templates: Templates, loaded: Mapping[str, Environment]
) -> None:
    """Counted by the configuration, to refuse what the plan cannot hold; and by the preflight."""
    for name, environment in loaded.items():
        declared = declarations(templates, name)
        counted = {phase: count for phase, count in rules_by_phase(environment).items() if count}
        rules = {each["phase"]: len(each["rules"]) for each in declared.values() if each["kind"] == "rules"}
        assert rules == counted, name
        (preflight,) = declarations(templates, name, stack="Platform").values()
        assert {phase: each["ours"] for phase, each in preflight["rules"].items()} == counted, name


def test_only_the_owner_of_a_zone_declares_what_there_is_once(templates: Templates) -> None:
    once = {"singletons/zone", "rules/ddos_l7", "notifications/all"}
    assert once <= set(declarations(templates, "production"))
    for name in ("dev", "staging"):
        assert once.isdisjoint(declarations(templates, name))
        managed = declarations(templates, name)["rules/http_request_firewall_managed"]
        assert {each["action"] for each in managed["rules"]} == {"skip"}


@pytest.mark.parametrize("name", available())
def test_owasp_challenges_no_program_of_any_environment_in_the_zone(name: str, templates: Templates) -> None:
    """It is deployed once in a zone, for all; its action is a challenge, which no program solves."""
    environment = load([name])[name]
    apis = [
        environment.services["api"].host,
        *(previews.hosts(environment, each)["api"] for each in previews.slots(environment)),
    ]
    rules = declarations(templates, name)["rules/http_request_firewall_managed"]["rules"]
    (api,) = [each for each in rules if each["name"] == "except-api"]
    hosts, _, path = api["expression"].partition(" and ")
    assert re.findall(r'"([^"]+)"', hosts) == apis
    assert path == 'starts_with(http.request.uri.path, "/")'
    assert [each["name"] for each in rules if each["name"] == "except-analytics"] == (
        ["except-analytics"] if environment.posthog else []
    )


def test_rules_are_there_before_names_and_one_after_the_other(
    templates: Templates, loaded: Mapping[str, Environment]
) -> None:
    for name in loaded:
        resources = templates[f"{name}/Edge"]["Resources"]
        ours = {logical_id: each for logical_id, each in resources.items() if each["Type"] == "Custom::Cloudflare"}
        before = {logical_id: set(each.get("DependsOn", [])) & set(ours) for logical_id, each in ours.items()}
        order = [logical_id for logical_id, others in before.items() if not others]
        assert len(order) == 1, name
        while behind := [key for key, others in before.items() if order[-1] in others and key not in order]:
            assert len(behind) == 1, name
            order += behind
        assert len(order) == len(ours) > 2, name
        assert order[-1].startswith("Names"), name


def test_no_template_holds_the_token_or_the_user_agent(templates: Templates, loaded: Mapping[str, Environment]) -> None:
    for name, environment in loaded.items():
        declared = declarations(templates, name)
        if environment.media.origin == "worker":
            assert declared["worker/media-origin"]["secrets"] == {"SIGNING_KEY": {"$secret": "?"}}
        else:
            secrets = json.dumps(declared["rules/http_request_late_transform"])
            assert '"User-Agent": {"operation": "set", "value": {"$secret": "?"}}' in secrets


def test_every_listener_speaks_tls_and_knows_its_hosts(templates: Templates) -> None:
    for where, listener in of_type(templates, "AWS::ElasticLoadBalancingV2::Listener"):
        properties = listener["Properties"]
        assert properties["Protocol"] == "HTTPS", where
        assert "TLS13" in properties["SslPolicy"], where
        assert [action["Type"] for action in properties["DefaultActions"]] == ["fixed-response"], where


def test_zones_are_the_real_ones(templates: Templates, loaded: Mapping[str, Environment]) -> None:
    for name, environment in loaded.items():
        subnets = of_type(templates, "AWS::EC2::Subnet", name=f"{name}/")
        zones = {subnet["Properties"]["AvailabilityZone"] for _, subnet in subnets}
        assert zones == set(environment.network.availability_zones), name


def test_adding_a_zone_moves_no_subnet(templates: Templates) -> None:
    """staging has two zones of the three that are planned for: its subnets leave room for the third."""
    cidrs = [each["Properties"]["CidrBlock"] for _, each in of_type(templates, "AWS::EC2::Subnet", name="staging/")]
    assert sorted(cidrs) == [
        "10.21.0.0/22",
        "10.21.128.0/22",
        "10.21.132.0/22",
        "10.21.32.0/19",
        "10.21.4.0/22",
        "10.21.64.0/19",
    ]


def test_each_private_subnet_leaves_by_its_own_zone(templates: Templates) -> None:
    template = templates["production/Network"]["Resources"]
    zone_of_table, zone_of_gateway, checked = {}, {}, 0
    for resource in template.values():
        if resource["Type"] == "AWS::EC2::SubnetRouteTableAssociation":
            subnet = template[resource["Properties"]["SubnetId"]["Ref"]]
            zone_of_table[resource["Properties"]["RouteTableId"]["Ref"]] = subnet["Properties"]["AvailabilityZone"]
    for logical_id, resource in template.items():
        if resource["Type"] == "AWS::EC2::NatGateway":
            subnet = template[resource["Properties"]["SubnetId"]["Ref"]]
            zone_of_gateway[logical_id] = subnet["Properties"]["AvailabilityZone"]
    for resource in template.values():
        if resource["Type"] == "AWS::EC2::Route" and "NatGatewayId" in resource["Properties"]:
            checked += 1
            gateway = resource["Properties"]["NatGatewayId"]["Ref"]
            assert zone_of_gateway[gateway] == zone_of_table[resource["Properties"]["RouteTableId"]["Ref"]]
    assert checked == 3


def services(templates: Templates) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those that users have, and those of previews."""
    for where, service in of_type(templates, "AWS::ECS::Service"):
        yield where, service["Properties"]


def users_own(templates: Templates) -> Templates:
    """Without the slots of previews, of which tests/stacks/test_previews.py asks other things."""
    found = {stack: template for stack, template in templates.items() if "/Preview" not in stack}
    assert len(found) < len(templates)
    return found


def test_releases_are_blue_green_and_can_go_back(templates: Templates) -> None:
    for where, service in services(templates):
        deployment = service["DeploymentConfiguration"]
        assert deployment["Strategy"] == "BLUE_GREEN", where
        assert deployment["MinimumHealthyPercent"] == 100, where
        if "/Preview" not in where:
            assert deployment["Alarms"]["Enable"] and deployment["Alarms"]["Rollback"], where
        target = service["LoadBalancers"][0]["AdvancedConfiguration"]
        assert set(target) == {"AlternateTargetGroupArn", "ProductionListenerRule", "RoleArn", "TestListenerRule"}, (
            where
        )


def test_a_release_is_asked_about_before_it_starts_and_before_it_serves(templates: Templates) -> None:
    """Migrations where there is a database; and in every service each new task. Both from inside of the VPC."""
    for where, service in services(templates):
        resources = templates["/".join(where.split("/")[:2])]["Resources"]
        hooks = {}
        for hook in service["DeploymentConfiguration"]["LifecycleHooks"]:
            function = resources[hook["HookTargetArn"]["Fn::GetAtt"][0]]["Properties"]
            (stage,) = hook["LifecycleStages"]
            hooks[stage] = (function["Handler"], "VpcConfig" in function)
        wanted = {"POST_TEST_TRAFFIC_SHIFT": ("infra_runtime.release.verify.handler", True)}
        if "/Api" in where.replace("/Preview1", "").replace("/Preview2", ""):
            wanted["PRE_SCALE_UP"] = ("infra_runtime.release.migrate.handler", True)
        assert hooks == wanted, where


def test_a_revision_names_the_migration_that_belongs_to_it(templates: Templates) -> None:
    for name in available():
        tasks = {
            where.rpartition("/")[2]: task["Properties"]["ContainerDefinitions"][0]
            for where, task in of_type(templates, "AWS::ECS::TaskDefinition", name=f"{name}/Api")
        }
        (app,) = [each for each in tasks.values() if each["Name"] == "app"]
        migration = tasks[app["DockerLabels"]["infra.migration"]["Ref"]]
        assert migration["Image"] == app["Image"]
        assert migration["Command"] == ["npx", "drizzle-kit", "migrate"], "nothing of ours in the product's image"


def test_no_container_that_serves_can_be_entered(templates: Templates) -> None:
    """`infra exec` starts a task of its own."""
    for where, service in services(templates):
        assert service.get("EnableExecuteCommand", False) is False, where
    roles = set()
    for where, policy in of_type(templates, "AWS::IAM::Policy"):
        if "ssmmessages" in json.dumps(policy):
            roles.add(where.rpartition("/")[2].partition("Task")[0])
    assert roles == {"OneOff"}


def test_an_autoscaled_service_has_no_count(templates: Templates) -> None:
    """A count in the template would undo, at each deployment, what autoscaling decided."""
    templates = users_own(templates)
    scaled = list(of_type(templates, "AWS::ApplicationAutoScaling::ScalableTarget"))
    assert len(scaled) == len(list(services(templates)))
    assert [where for where, service in services(templates) if "DesiredCount" in service] == []


def test_alarms_of_a_release_exist_and_fit_into_its_bake_time(templates: Templates) -> None:
    alarms = {
        alarm["Properties"]["AlarmName"]: alarm["Properties"]
        for _, alarm in of_type(templates, "AWS::CloudWatch::Alarm")
        if "AlarmName" in alarm["Properties"]
    }
    used = set()
    for where, service in services(users_own(templates)):
        deployment = service["DeploymentConfiguration"]
        for name in deployment["Alarms"]["AlarmNames"]:
            used.add(name)
            alarm = alarms[name]
            period = alarm.get("Period") or max(
                metric["MetricStat"]["Period"] for metric in alarm["Metrics"] if "MetricStat" in metric
            )
            assert alarm["EvaluationPeriods"] * period < deployment["BakeTimeInMinutes"] * 60, (where, name)
    # Physical names are for these only: whatever else has one cannot be replaced.
    assert used == set(alarms)


def test_a_service_waits_for_the_alarms_of_its_releases(templates: Templates) -> None:
    for where, service in of_type(users_own(templates), "AWS::ECS::Service"):
        waits = [each for each in service["DependsOn"] if each.startswith("ReleaseAlarms")]
        assert len(waits) == 2, where


def test_production_rules_are_frozen(templates: Templates) -> None:
    """ECS moves these weights at each release; a template that says something else puts users on an empty group.

    Whoever has to change this test has read docs/adr/0004-frozen-rules.md.
    """
    seen = []
    for where, rule in of_type(templates, "AWS::ElasticLoadBalancingV2::ListenerRule"):
        seen.append(where)
        (action,) = rule["Properties"]["Actions"]
        groups = action["ForwardConfig"]["TargetGroups"]
        assert [group["Weight"] for group in groups] == [100, 0], where
        assert ["Blue" in str(group["TargetGroupArn"]) for group in groups] == [True, False], where
        (condition,) = rule["Properties"]["Conditions"]
        assert condition["Field"] == "host-header", where
        slot = re.search(r"/Preview(\d)/", where)
        service = "api" if "/Api" in where else "frontend"
        assert rule["Properties"]["Priority"] == {
            ("api", None): 36724, ("api", "1"): 30643, ("api", "2"): 12121,
            ("frontend", None): 27164, ("frontend", "1"): 46827, ("frontend", "2"): 35745,
        }[service, slot[1] if slot else None], where  # fmt: skip
        assert set(rule["Properties"]) == {"Actions", "Conditions", "ListenerArn", "Priority"}, where
    assert len(seen) == 3 * 2 * 2 + 2 * 2 * 2


def main_container(task: dict[str, Any]) -> dict[str, Any]:
    """Not the one that prepares its volumes."""
    (found,) = [each for each in task["Properties"]["ContainerDefinitions"] if each["Name"] != "prepare"]
    return dict(found)


def workers(templates: Templates) -> set[str]:
    """Where the task definitions stand that a service without a load balancer runs; the tests' own files have none."""
    return {
        f"{where.rpartition('/')[0]}/{service['Properties']['TaskDefinition']['Ref']}"
        for where, service in of_type(templates, "AWS::ECS::Service")
        if not service["Properties"].get("LoadBalancers")
    }


def test_health_is_exact_and_draining_ends_before_the_stop(templates: Templates) -> None:
    for where, group in of_type(templates, "AWS::ElasticLoadBalancingV2::TargetGroup"):
        assert group["Properties"]["Matcher"] == {"HttpCode": "200"}, where
        attributes = {each["Key"]: each["Value"] for each in group["Properties"]["TargetGroupAttributes"]}
        assert attributes["deregistration_delay.timeout_seconds"] == "30", where
    without_users = workers(templates)
    for where, task in of_type(templates, "AWS::ECS::TaskDefinition"):
        # A worker has nobody to drain, and a job to finish: it gets the longest that Fargate allows.
        assert main_container(task)["StopTimeout"] == (120 if where in without_users else 60), where


# What Docker, and so Fargate, gives a container (aws/containers-roadmap #409).
DEFAULT_CAPABILITIES = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}


def test_containers_are_confined(templates: Templates) -> None:
    for where, task in of_type(templates, "AWS::ECS::TaskDefinition"):
        for container in task["Properties"]["ContainerDefinitions"]:
            assert container["ReadonlyRootFilesystem"] is True, where
            assert container.get("Privileged", False) is False, where
            mode = "non-blocking" if container["Name"] == "app" else "blocking"
            assert container["LogConfiguration"]["Options"]["mode"] == mode, where
            capabilities = container["LinuxParameters"]["Capabilities"]
            if container["Name"] == "prepare":
                assert container["User"] == "0:0", where
                assert set(capabilities) == {"Drop"}, where
                assert DEFAULT_CAPABILITIES - set(capabilities["Drop"]) == {"FOWNER"}, where
            else:
                assert container["User"] == "1000:1000", where
                assert capabilities == {"Drop": ["ALL"]}, where


def test_tasks_run_on_arm_where_no_service_says_otherwise(templates: Templates) -> None:
    for where, task in of_type(templates, "AWS::ECS::TaskDefinition"):
        assert task["Properties"]["RuntimePlatform"]["CpuArchitecture"] == "ARM64", where


def test_a_container_starts_when_its_volumes_are_prepared_and_asks_nothing_of_its_image(templates: Templates) -> None:
    without_users = workers(templates)
    for where, task in of_type(templates, "AWS::ECS::TaskDefinition"):
        (prepare,) = [each for each in task["Properties"]["ContainerDefinitions"] if each["Name"] == "prepare"]
        container = main_container(task)
        assert container["DependsOn"] == [{"ContainerName": "prepare", "Condition": "SUCCESS"}], where
        # ECS registers no task definition in which what ends is essential.
        assert (prepare["Essential"], container["Essential"]) == (False, True), where
        if (check := container.get("HealthCheck")) is not None:
            # A worker's own command, once a release has brought it.
            assert where in without_users, where
            assert check["Fn::If"][1] == {"Ref": "AWS::NoValue"}, where
        prepared = {each["ContainerPath"]: each["SourceVolume"] for each in prepare["MountPoints"]}
        mounted = {each["ContainerPath"]: each["SourceVolume"] for each in container["MountPoints"]}
        assert mounted == prepared, where
        assert set(mounted.values()) == {each["Name"] for each in task["Properties"]["Volumes"]}, where
        assert [each["ContainerPath"] for each in container["MountPoints"] if each["ReadOnly"]] == ["/infra"], where
        writable = [each["ContainerPath"] for each in container["MountPoints"] if not each["ReadOnly"]]
        assert prepare["Command"][-len(writable) :] == writable, where
        plain = {each["Name"]: each["Value"] for each in container["Environment"]}
        assert plain["NODE_EXTRA_CA_CERTS"] == plain["PGSSLROOTCERT"] == "/infra/rds-authority.pem", where
        assert (plain["HOSTNAME"], plain["HOME"]) == ("0.0.0.0", "/tmp"), where  # noqa: S104, S108
        # It would take the place of the authorities that the image knows.
        assert "SSL_CERT_FILE" not in plain, where


def test_a_task_definition_is_no_larger_than_ecs_takes(templates: Templates) -> None:
    """64 KiB (ECS service quotas, "Task definition size limit"). References are short names for a little more."""
    for where, task in of_type(templates, "AWS::ECS::TaskDefinition"):
        assert len(json.dumps(task["Properties"]).encode()) < 32 * 1024, where


def test_images_come_from_a_parameter(templates: Templates) -> None:
    """No image stands in a template: releasing one must change none."""
    for where, task in of_type(users_own(templates), "AWS::ECS::TaskDefinition"):
        stack = "/".join(where.split("/")[:2])
        parameter = templates[stack]["Parameters"][main_container(task)["Image"]["Ref"]]
        assert parameter["Type"] == "AWS::SSM::Parameter::Value<String>"
        name, service = stack.split("/")
        assert parameter["Default"] == f"/daadaar/{name}/{service.lower()}/image"


def test_the_api_gets_redis_and_database_as_secrets(templates: Templates) -> None:
    for where, task in of_type(users_own(templates), "AWS::ECS::TaskDefinition"):
        container = main_container(task)
        names = {secret["Name"] for secret in container.get("Secrets", [])}
        plain = {variable["Name"] for variable in container["Environment"]}
        if "/Api/" in where:
            is_migration = container["Name"] == "migrate"
            assert names == {"PGUSER", "PGPASSWORD", "DATABASE_URL", "REDIS_URL"}, where
            login = "Owner" if is_migration else "User"
            for secret in container["Secrets"]:
                if secret["Name"] != "REDIS_URL":
                    assert f"DatabaseLogins{login}" in json.dumps(secret["ValueFrom"]), where
            assert {"PGHOST", "PGDATABASE", "PGSSLMODE"} <= plain, where
        secretive = re.compile("PASSWORD|SECRET|TOKEN|KEY|(REDIS|DATABASE)_URL")
        # What has this prefix is in every browser anyway.
        private = [name for name in plain if not name.startswith("NEXT_PUBLIC_")]
        assert [name for name in private if secretive.search(name)] == [], where


def test_the_application_cannot_reach_old_versions(templates: Templates) -> None:
    actions = set()
    for where, policy in of_type(templates, "AWS::IAM::Policy"):
        if "TaskRole" in where:
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                actions |= {statement["Action"]} if isinstance(statement["Action"], str) else set(statement["Action"])
    assert "s3:DeleteObject" in actions
    assert not [action for action in actions if "*" in action or "Version" in action or "BucketPolicy" in action]


def test_secrets_are_never_values(templates: Templates) -> None:
    for where, secret in of_type(templates, "AWS::SecretsManager::Secret"):
        value = secret["Properties"].get("SecretString")
        assert value is None or "{{resolve:secretsmanager:" in json.dumps(value), where


def test_kept_stacks_are_protected(assembly: Path, loaded: Mapping[str, Environment]) -> None:
    protected = {}
    for nested in assembly.glob("assembly-*"):
        for artifact in json.loads((nested / "manifest.json").read_text())["artifacts"].values():
            if artifact["type"] == "aws:cloudformation:stack":
                protected[artifact["displayName"]] = artifact["properties"].get("terminationProtection", False)
    for name in loaded:
        stateful = {stack for stack in ("Network", "Data", "Registry", "Platform") if protected[f"{name}/{stack}"]}
        assert stateful == {"Network", "Data", "Registry", "Platform"}
        assert not protected[f"{name}/Edge"]


# Written by hand: whoever changes a line here deletes what stands behind it, and makes an empty one.
STATEFUL = {
    "Data": {
        "AWS::KMS::Key": {"Key9BCD29C7"},
        "AWS::RDS::DBInstance": {"DatabaseInstanceAA8A5FDE"},
        "AWS::S3::Bucket": {"MediaBucket4022EBBF"},
    },
    # Its data may be lost, its address may not: another id is another server.
    "Redis": {"AWS::ElastiCache::ReplicationGroup": {"InstancesmainGroup4D7BDE34"}},
    "Registry": {"AWS::ECR::Repository": {"ApiRepositoryAADF3F12", "FrontendRepository8FE916EE"}},
}
# Of an image that ECR fetches again.
CACHE = "HelperRepository"


@pytest.mark.parametrize("name", available())
def test_ids_of_what_holds_state_never_change(name: str, templates: Templates) -> None:
    for stack, kinds in STATEFUL.items():
        resources = templates[f"{name}/{stack}"]["Resources"]
        for kind, ids in kinds.items():
            assert {key for key, each in resources.items() if each["Type"] == kind and not key.startswith(CACHE)} == ids


def alarms(templates: Templates) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, alarm in of_type(templates, "AWS::CloudWatch::Alarm"):
        yield where, alarm["Properties"]


def composites(templates: Templates) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, alarm in of_type(templates, "AWS::CloudWatch::CompositeAlarm"):
        yield where, alarm["Properties"]


def is_part(where: str, alarm: dict[str, Any], templates: Templates) -> bool:
    """Whether a composite of its environment asks for it."""
    environment, _, _ = where.partition("/")
    names = {where.rpartition("/")[2], alarm.get("AlarmName", "no name")}
    rules = [json.dumps(each["AlarmRule"]) for at, each in composites(templates) if at.startswith(f"{environment}/")]
    return any(re.search(rf"[\":]{re.escape(name)}\b", rule) for name in names for rule in rules)


def test_every_alarm_tells_and_takes_back(templates: Templates) -> None:
    told_itself = told_by_a_composite = 0
    for where, alarm in [*alarms(templates), *composites(templates)]:
        severity = alarm["AlarmDescription"].partition(":")[0].lower()
        if alarm.get("TreatMissingData", "ignore") not in {"breaching", "notBreaching", "ignore"}:
            pytest.fail(f"{where}: nobody has said what no data means")
        assert alarm.get("ActionsEnabled", True) is True, where
        if not alarm.get("AlarmActions"):
            assert is_part(where, alarm, templates), f"{where} tells nobody"
            assert not alarm.get("OKActions"), where
            continue
        # Redis' recovery is an info as well, as the requirements have it.
        told_of_the_end = [each for each in alarm["OKActions"] if "/Redis/" not in where or "Info" not in str(each)]
        assert told_of_the_end == alarm["AlarmActions"], where
        if severity.capitalize() in json.dumps(alarm["AlarmActions"]):
            told_itself += 1
        else:
            # The composite pages, this one is told as info.
            assert "Info" in json.dumps(alarm["AlarmActions"]), where
            assert severity == "critical", where
            assert is_part(where, alarm, templates), where
            told_by_a_composite += 1
    assert told_itself > 100
    assert told_by_a_composite > 20


def test_a_composite_asks_for_no_more_than_it_may(templates: Templates) -> None:
    for where, composite in composites(templates):
        assert 1 <= json.dumps(composite["AlarmRule"]).count("ALARM(") <= 100, where


def runbooks(templates: Templates) -> set[str]:
    """Of everything that tells somebody something: alarms, composites, forwarded events, budgets."""
    told = [each["AlarmDescription"] for _, each in [*alarms(templates), *composites(templates)]]
    told += [each["Properties"].get("Description", "") for _, each in of_type(templates, "AWS::Events::Rule")]
    for kind in ("AWS::Budgets::Budget", "AWS::CE::AnomalySubscription"):
        told += [each["Metadata"]["runbook"] for _, each in of_type(templates, kind)]
    return {found[1] for text in told if (found := re.search(r"docs/runbooks/([a-z-]+)\.md", text))}


def test_every_alarm_has_a_runbook_and_every_runbook_an_alarm(templates: Templates, every_redis: Templates) -> None:
    written = {path.stem for path in RUNBOOKS.glob("*.md") if path.read_text().startswith("# Alarm: ")}
    assert runbooks(templates) | runbooks(every_redis) == written
    for where, alarm in [*alarms(templates), *composites(templates)]:
        link = r"Runbook: https://github\.com/daadaar/infrastructure/blob/HEAD/docs/runbooks/[a-z-]+\.md"
        assert re.search(link, alarm["AlarmDescription"]), where
        assert len(alarm["AlarmDescription"]) <= 1024, "CloudWatch API Reference, PutMetricAlarm"


def test_whichever_way_serves_is_watched_and_gated_and_the_others_stay_within_reach(every_redis: Templates) -> None:
    resources = every_redis["dev/Redis"]["Resources"]
    about = {
        dimension["Value"]
        for where, alarm in alarms(every_redis)
        if "/Redis/" in where and alarm.get("Namespace") == "Infra/Redis"
        for dimension in alarm["Dimensions"]
        if dimension["Name"] == "Instance"
    }
    assert about == {"next", "jobs"}, "only those that are used wake anybody"
    gates = json.dumps(
        [each["Properties"]["Url"] for each in resources.values() if each["Type"] == "Custom::RedisGate"]
    )
    assert [name for name in ("main", "next", "last", "jobs") if f"Instances{name}Url" in gates] == ["next", "jobs"]
    probes = {
        each["Properties"]["Environment"]["Variables"]["INSTANCE"]
        for each in resources.values()
        if each["Type"] == "AWS::Lambda::Function"
        and each["Properties"]["Handler"] == "infra_runtime.redis.monitor.handler"
    }
    assert probes == {"main", "next", "last", "jobs"}
    # What the API has imported is exported as long as it is there: changing over is no dead end.
    exported = json.dumps(every_redis["dev/Redis"]["Outputs"])
    assert "InstancesmainUrl" in exported
    assert "InstancesnextUrl" in exported
    (task,) = [
        each
        for where, each in of_type(every_redis, "AWS::ECS::TaskDefinition", name="dev/Api")
        if where.startswith("dev/Api/Service")
    ]
    secrets = {each["Name"]: each["ValueFrom"] for each in task["Properties"]["ContainerDefinitions"][0]["Secrets"]}
    assert "InstancesnextUrl" in json.dumps(secrets["REDIS_URL"])


# What users need, and the runbooks of the critical alarms that say when it fails them.
CRITICAL = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {"load-balancer-errors", "load-balancer-rejects"},
    "AWS::ECS::Service": {"service-down", "service-tasks-missing", "service-errors"},
    "AWS::RDS::DBInstance": {"database-storage", "database-connections"},
    "AWS::S3::Bucket": {"check-failed"},
    "Custom::Cloudflare": {"check-failed", "edge-errors"},
    "Custom::ValidatedCertificate": {"certificate-expiry"},
    "Custom::RedisGate": {"redis-connection-failure"},
}


@pytest.mark.parametrize("name", available())
def test_everything_critical_has_a_critical_alarm(name: str, templates: Templates) -> None:
    critical = {
        re.search(r"docs/runbooks/([a-z-]+)", alarm["AlarmDescription"])[1]  # type: ignore[index]
        for where, alarm in alarms(templates)
        if where.startswith(f"{name}/") and alarm["AlarmDescription"].startswith("CRITICAL")
    }
    for kind, expected in CRITICAL.items():
        assert list(of_type(templates, kind, name=f"{name}/"))
        assert expected <= critical, kind


def test_every_function_that_runs_by_itself_is_watched(templates: Templates, loaded: Mapping[str, Environment]) -> None:
    """A schedule, an event or a rotation has nobody who waits for an answer: its failure is an alarm, or no data is."""
    # Whose silence is an alarm, as it publishes what is bad when it is missing.
    by_silence = {"checks", "redis.monitor", "database.backups", "edge_traffic", "restart_service", "jobs.control"}
    # A drill that it does not conclude has not succeeded, and no success is an alarm.
    by_silence |= {"database.drills"}
    for name in loaded:
        own = {stack: template for stack, template in templates.items() if stack.startswith(f"{name}/")}
        watched = json.dumps([each for _, each in alarms(own) if "Errors" in json.dumps(each)])
        found = 0
        for stack, template in own.items():
            resources = template["Resources"]
            invoked = json.dumps(
                [
                    each["Properties"]
                    for each in resources.values()
                    if each["Type"] in ("AWS::Events::Rule", "AWS::SecretsManager::RotationSchedule")
                ]
            )
            for logical_id, each in resources.items():
                if each["Type"] != "AWS::Lambda::Function" or f'"{logical_id}"' not in invoked:
                    continue
                module = each["Properties"]["Handler"].removeprefix("infra_runtime.").removesuffix(".handler")
                found += 1
                assert module in by_silence or logical_id in watched, f"{stack}: {module} may fail unseen"
        assert found > 8


def test_production_is_not_deleted_by_accident(templates: Templates) -> None:
    ((_, balancer),) = of_type(templates, "AWS::ElasticLoadBalancingV2::LoadBalancer", name="production/")
    attributes = {each["Key"]: each["Value"] for each in balancer["Properties"]["LoadBalancerAttributes"]}
    assert attributes["deletion_protection.enabled"] == "true"
    ((_, database),) = of_type(templates, "AWS::RDS::DBInstance", name="production/")
    assert database["Properties"]["DeletionProtection"] is True


def test_repositories_are_immutable_and_scanned(templates: Templates) -> None:
    for where, repository in of_type(templates, "AWS::ECR::Repository"):
        assert repository["Properties"]["ImageTagMutability"] == "IMMUTABLE", where
        assert repository["Properties"]["ImageScanningConfiguration"] == {"ScanOnPush": True}, where


def test_default_security_groups_are_closed(templates: Templates, loaded: Mapping[str, Environment]) -> None:
    assert len(list(of_type(templates, "Custom::VpcRestrictDefaultSG"))) == len(loaded)


def test_a_changed_secret_is_waited_for(templates: Templates) -> None:
    rules = [
        (where, rule["Properties"])
        for where, rule in of_type(templates, "AWS::Events::Rule")
        if "/Api/" in where and "EventPattern" in rule["Properties"]
    ]
    assert len(rules) == len(available())
    for where, rule in rules:
        assert rule["EventPattern"] == {
            "source": ["aws.secretsmanager"],
            "detail-type": ["Secret Label Updated"],
            "detail": {"labelUpdated": ["AWSCURRENT"]},
        }, where


def test_nothing_waits_for_a_trail(templates: Templates) -> None:
    """EventBridge has events "via CloudTrail" only where a trail logs; no stack here makes one."""
    patterns = [
        (where, json.dumps(rule["Properties"]["EventPattern"]))
        for where, rule in of_type(templates, "AWS::Events::Rule")
        if "EventPattern" in rule["Properties"]
    ]
    assert all("detail-type" in pattern for _, pattern in patterns)
    assert [where for where, pattern in patterns if "CloudTrail" in pattern or "eventName" in pattern] == []


def test_logs_and_keys_have_an_end_and_a_rotation(templates: Templates) -> None:
    for where, group in of_type(templates, "AWS::Logs::LogGroup"):
        assert group["Properties"]["RetentionInDays"] == 90, where
    for where, key in of_type(templates, "AWS::KMS::Key"):
        assert key["Properties"]["EnableKeyRotation"] is True, where


def test_topics_of_alarms_are_encrypted_with_a_key_of_their_own(
    templates: Templates, loaded: Mapping[str, Environment]
) -> None:
    """With the key that SNS has by default an alarm goes off and nobody hears of it: tests/stacks/test_notifications.py
    has who may use this one."""
    for name in loaded:
        ((where, _),) = of_type(templates, "AWS::KMS::Key", name=f"{name}/Platform")
        for _, topic in of_type(templates, "AWS::SNS::Topic", name=f"{name}/Platform"):
            assert topic["Properties"]["KmsMasterKeyId"]["Fn::GetAtt"][0] == where.rpartition("/")[2]


def test_each_severity_has_its_ways_to_people(templates: Templates) -> None:
    """As production.toml says; the key that may page is in no template."""
    alarms_ = load(["production"])["production"].alarms
    ways: dict[str, list[str]] = {}
    for _, subscription in of_type(templates, "AWS::SNS::Subscription", name="production/Platform"):
        properties = subscription["Properties"]
        (severity,) = re.findall("Critical|Warning|Info", properties["TopicArn"]["Ref"])
        ways.setdefault(severity.lower(), []).append(properties["Protocol"])
    assert {severity: sorted(found) for severity, found in ways.items()} == {
        "critical": ["email", "lambda"],
        "warning": ["email"],
    }
    assert "{{resolve:secretsmanager:daadaar/pagerduty" not in json.dumps(templates["production/Platform"])
    channels = {}
    for _, slack in of_type(templates, "AWS::Chatbot::SlackChannelConfiguration", name="production/Platform"):
        properties = slack["Properties"]
        channels[properties["SlackChannelId"]] = len(properties["SnsTopicArns"])
        assert "CloudWatchReadOnlyAccess" in json.dumps(properties["GuardrailPolicies"])
        assert len(properties["GuardrailPolicies"]) == 1, "without one, its members may do everything"
    assert channels == {alarms_.critical.slack_channel: 2, alarms_.info.slack_channel: 1}


def test_an_alarm_names_where_its_errors_are(templates: Templates) -> None:
    linked = [each for where, each in alarms(templates) if where.startswith("production/") and "sentry.io" in str(each)]
    assert {re.search(r"runbooks/([a-z-]+)", each["AlarmDescription"])[1] for each in linked} == {  # type: ignore[index]
        "service-errors",
        "service-latency",
    }


def test_analytics_go_by_the_site_and_are_not_in_previews(templates: Templates) -> None:
    ((_, task),) = [
        (where, each)
        for where, each in of_type(templates, "AWS::ECS::TaskDefinition", name="production/Frontend")
        if "Service" in where
    ]
    container = main_container(task)
    plain = {each["Name"]: each["Value"] for each in container["Environment"]}
    assert plain["NEXT_PUBLIC_POSTHOG_HOST"] == "https://daadaar.com/ingest"
    workers = [text for text in map(json.dumps, templates["production/Edge"]["Resources"].values()) if "worker" in text]
    assert any("daadaar.com/ingest/*" in text for text in workers)
    output = templates["production/Delivery"]["Outputs"]["FrontendBuildArgs"]["Value"]
    assert set(output.split()) == {f"{key}={value}" for key, value in plain.items() if key.startswith("NEXT_PUBLIC_")}
    assert "POSTHOG" not in json.dumps(templates["dev/Preview1"])


def test_sentry_gets_traces_and_profiles_of_both_tiers_by_the_rates_of_service_and_environment(
    templates: Templates,
) -> None:
    for name, traces in (("production", "0.01"), ("staging", "1.0")):
        for stack in ("Api", "Frontend"):
            found = _variables(templates, f"{name}/{stack}")
            rates = (found["SENTRY_TRACES_SAMPLE_RATE"], found["SENTRY_PROFILE_SESSION_SAMPLE_RATE"])
            assert rates == (traces, "1.0"), (name, stack)
    site = _variables(templates, "production/Frontend")
    for key in ("DSN", "ENVIRONMENT", "TRACES_SAMPLE_RATE", "PROFILE_SESSION_SAMPLE_RATE"):
        assert site[f"NEXT_PUBLIC_SENTRY_{key}"] == site[f"SENTRY_{key}"]
    assert not any(key.startswith("NEXT_PUBLIC_SENTRY") for key in _variables(templates, "production/Api"))
    assert "SENTRY_DSN" not in json.dumps(templates["dev/Preview1"])


def test_a_site_has_the_release_of_its_build_and_any_other_service_that_of_its_digest(templates: Templates) -> None:
    assert "SENTRY_RELEASE" not in _variables(templates, "production/Frontend")
    assert "SENTRY_RELEASE" in _variables(templates, "production/Api")
    told = {
        found["SERVICE"]: json.loads(found["SENTRY"])["named_by"]
        for _, function in of_type(templates, "AWS::Lambda::Function", name="production/Delivery")
        if "SENTRY" in (found := function["Properties"].get("Environment", {}).get("Variables", {}))
    }
    assert told == {"api": "digest", "frontend": "tag"}


def test_every_variable_of_a_container_has_a_name_that_no_service_may_take(templates: Templates) -> None:
    """Or is the service's own. What is not in `variables.provided` could be set twice."""
    for name, environment in load().items():
        for service in environment.services:
            known = variables.provided(environment, service).keys() | variables.declared(environment, service).keys()
            # Those that a variable of the service's own replaces (docs/application-contract.md).
            known |= {"HOME", "HOSTNAME", "KEEP_ALIVE_TIMEOUT", "NODE_ENV", "NODE_EXTRA_CA_CERTS", "PGSSLROOTCERT"}
            assert _variables(templates, f"{name}/{service.capitalize()}").keys() <= known, (name, service)


def _variables(templates: Templates, stack: str) -> dict[str, Any]:
    """Of the service's own container."""
    (task,) = [each for where, each in of_type(templates, "AWS::ECS::TaskDefinition", name=stack) if "Service" in where]
    container = main_container(task)
    return {each["Name"]: each["Value"] for each in container["Environment"]}
