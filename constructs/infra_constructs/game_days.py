"""Experiments of AWS Fault Injection Service. `infra gameday run` starts one; a deployment starts none."""

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_fis as fis
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra_constructs.arns import arn_of
from infra_constructs.findings import acknowledge, allows_on

# FIS quotas: stop conditions of a template.
_MOST_STOP_CONDITIONS = 5
# FIS rounds down, and refuses to select nothing: 33 % of three tasks would be none (AWS FIS user guide, "Selection
# mode").
_THIRD = "PERCENT(34)"
_FEWEST_FOR_A_THIRD = 3

Target = fis.CfnExperimentTemplate.ExperimentTemplateTargetProperty


class GameDays(Construct):
    """One template for each experiment, with a role that may do this experiment only."""

    def __init__(self, scope: Construct, id_: str, *, stop_when: Sequence[cloudwatch.IAlarm]) -> None:
        """FIS stops an experiment when one of these alarms goes off, and starts none while one is on.

        Not composite alarms: no document says that FIS supports them.
        """
        super().__init__(scope, id_)
        self._stop_when = stop_when[:_MOST_STOP_CONDITIONS]

    def stop_tasks(self, id_: str, *, what: str, cluster: ecs.ICluster, fewest: Mapping[ecs.IBaseService, int]) -> None:
        """A third of the tasks of each service, one at least; `fewest` is how many each always has."""
        tasks = arn_of(self, "ecs", "task/*")
        in_cluster = {"ArnEquals": {"ecs:cluster": cluster.cluster_arn}}
        targets = {
            f"tasks{number}": Target(
                resource_type="aws:ecs:task",
                parameters={"cluster": cluster.cluster_name, "service": service.service_name},
                selection_mode=_THIRD if count >= _FEWEST_FOR_A_THIRD else "COUNT(1)",
            )
            for number, (service, count) in enumerate(fewest.items())
        }
        role = self._role(
            id_,
            iam.PolicyStatement(
                actions=["ecs:StopTask", "ecs:DescribeTasks"], resources=[tasks], conditions=in_cluster
            ),
            # Without a container instance, ECS asks IAM for "*".
            iam.PolicyStatement(actions=["ecs:ListTasks"], resources=["*"], conditions=in_cluster),
        )
        self._template(id_, what=what, role=role, targets=targets, action="aws:ecs:stop-task", takes="Tasks")

    def fail_over_database(self, id_: str, *, what: str, database: rds.IDatabaseInstance) -> None:
        """The standby takes over. Of a single instance FIS can do no more; it cannot freeze PostgreSQL."""
        role = self._role(
            id_,
            iam.PolicyStatement(actions=["rds:RebootDBInstance"], resources=[database.instance_arn]),
            iam.PolicyStatement(actions=["rds:DescribeDBInstances"], resources=["*"]),
        )
        target = Target(resource_type="aws:rds:db", resource_arns=[database.instance_arn], selection_mode="ALL")
        self._template(
            id_,
            what=what,
            role=role,
            targets={"database": target},
            action="aws:rds:reboot-db-instances",
            takes="DBInstances",
            parameters={"forceFailover": "true"},
        )

    def fail_over_redis(
        self, id_: str, *, what: str, zones: Sequence[str], tags: Mapping[str, str], minutes: int
    ) -> None:
        """A template for each zone, because Redis' primary may be in any of them: `id_` and a number, from 0.

        Of every replication group with these tags: FIS finds them by nothing else.
        """
        groups = arn_of(self, "elasticache", "replicationgroup:*")
        role = self._role(
            id_,
            iam.PolicyStatement(
                actions=["elasticache:InterruptClusterAzPower"],
                resources=[groups],
                conditions={"StringEquals": {f"aws:ResourceTag/{key}": value for key, value in tags.items()}},
            ),
            iam.PolicyStatement(actions=["elasticache:DescribeReplicationGroups"], resources=[groups]),
        )
        for number, zone in enumerate(zones):
            target = Target(
                resource_type="aws:elasticache:replicationgroup",
                resource_tags=tags,
                parameters={"availabilityZoneIdentifier": zone},
                selection_mode="ALL",
            )
            self._template(
                f"{id_}{number}",
                what=f"{what}, {zone}",
                role=role,
                targets={"redis": target},
                action="aws:elasticache:replicationgroup-interrupt-az-power",
                takes="ReplicationGroups",
                parameters={"duration": f"PT{minutes}M"},
            )

    def cut_off_zone(self, id_: str, *, what: str, vpc: ec2.IVpc, minutes: int) -> None:
        """The first zone's private subnets, where tasks are: nothing gets in or out."""
        zone = vpc.availability_zones[0]
        subnets = [
            arn_of(self, "ec2", f"subnet/{each.subnet_id}")
            for each in vpc.private_subnets
            if each.availability_zone == zone
        ]
        lists = arn_of(self, "ec2", "network-acl/*")
        network = arn_of(self, "ec2", f"vpc/{vpc.vpc_id}")
        of_fis = {"StringEquals": {"aws:RequestTag/managedByFIS": "true"}}
        role = self._role(
            id_,
            iam.PolicyStatement(actions=["ec2:CreateNetworkAcl"], resources=[lists], conditions=of_fis),
            iam.PolicyStatement(actions=["ec2:CreateNetworkAcl"], resources=[network]),
            iam.PolicyStatement(
                actions=["ec2:CreateTags"],
                resources=[lists],
                conditions={"StringEquals": {**of_fis["StringEquals"], "ec2:CreateAction": "CreateNetworkAcl"}},
            ),
            iam.PolicyStatement(
                actions=["ec2:CreateNetworkAclEntry", "ec2:DeleteNetworkAcl"],
                resources=[lists],
                conditions={"StringEquals": {"aws:ResourceTag/managedByFIS": "true"}},
            ),
            iam.PolicyStatement(
                actions=["ec2:ReplaceNetworkAclAssociation"],
                resources=[*subnets, lists],
                conditions={"ArnEquals": {"ec2:Vpc": network}},
            ),
            iam.PolicyStatement(
                actions=["ec2:DescribeNetworkAcls", "ec2:DescribeSubnets", "ec2:DescribeVpcs"], resources=["*"]
            ),
        )
        target = Target(resource_type="aws:ec2:subnet", resource_arns=subnets, selection_mode="ALL")
        self._template(
            id_,
            what=what,
            role=role,
            targets={"zone": target},
            action="aws:network:disrupt-connectivity",
            takes="Subnets",
            parameters={"scope": "all", "duration": f"PT{minutes}M"},
        )

    def _template(
        self,
        id_: str,
        *,
        what: str,
        role: iam.IRole,
        targets: Mapping[str, fis.CfnExperimentTemplate.ExperimentTemplateTargetProperty],
        action: str,
        takes: str,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """The action on each of the targets; `takes` is the action's name for them."""
        fis.CfnExperimentTemplate(
            self,
            id_,
            description=what,
            role_arn=role.role_arn,
            stop_conditions=[
                fis.CfnExperimentTemplate.ExperimentTemplateStopConditionProperty(
                    source="aws:cloudwatch:alarm", value=each.alarm_arn
                )
                for each in self._stop_when
            ],
            targets=dict(targets),
            actions={
                name: fis.CfnExperimentTemplate.ExperimentTemplateActionProperty(
                    action_id=action, targets={takes: name}, parameters=parameters
                )
                for name in targets
            },
            experiment_options=fis.CfnExperimentTemplate.ExperimentTemplateExperimentOptionsProperty(
                account_targeting="single-account", empty_target_resolution_mode="fail"
            ),
            tags={"Name": id_},
        )

    def _role(self, id_: str, *statements: iam.PolicyStatement) -> iam.Role:
        """Role that only experiments of this account can assume (AWS FIS user guide, "Confused deputy")."""
        experiments = arn_of(self, "fis", "experiment/*")
        role = iam.Role(
            self,
            f"{id_}Role",
            assumed_by=iam.ServicePrincipal(
                "fis.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account},
                    "ArnLike": {"aws:SourceArn": experiments},
                },
            ),
            description=f"AWS FIS, for the experiment {id_}",
        )
        # AWS FIS finds targets by their tags with it ("Permissions" of each action).
        reads = iam.PolicyStatement(actions=["tag:GetResources"], resources=["*"])
        policy = iam.Policy(self, f"{id_}Policy", roles=[role], statements=[*statements, reads])
        for each in {arn for statement in [*statements, reads] for arn in statement.resources if arn.endswith("*")}:
            acknowledge(policy, allows_on(each), reason="What an experiment finds has no name before it begins.")
        return role
