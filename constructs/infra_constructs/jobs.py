"""Scheduled commands of a service's image."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.alarms.alarm import Topics
from infra_constructs.alarms.jobs import JobAlarms
from infra_constructs.arns import arn_of
from infra_constructs.container_task import ContainerEnvironment, ContainerTask
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction
from infra_constructs.release.image import ReleasedImage
from infra_constructs.release.ledger import ReleaseLedger
from infra_runtime.contract.revision import JOB

# Time limits are in minutes.
_TENDED_EVERY = cdk.Duration.minutes(1)


@dataclass(frozen=True, kw_only=True)
class JobProps:
    """What an environment may choose."""

    schedule: str
    """An EventBridge schedule, in UTC."""
    command: Sequence[str]
    cpu: int
    memory_mib: int
    minutes: int
    """Time limit of an attempt, from RunTask on."""
    retries: int
    overdue_minutes: int
    """The job is overdue when its last success is older."""


class Jobs(Construct):
    """All jobs of one service: a task definition and a schedule for each, and one function that runs them.

    A job that is still running when it is due again is not started (infra_runtime.jobs.control). Jobs get a release's
    image when `runs`, their service, serves it: after its migrations and checks.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        service: str,
        runs: ecs.FargateService,
        cluster: ecs.ICluster,
        security_group: ec2.ISecurityGroup,
        image: ReleasedImage,
        settings: ContainerEnvironment,
        ledger: ReleaseLedger,
        topics: Topics,
        jobs: Mapping[str, JobProps],
    ) -> None:
        super().__init__(scope, id_)
        tasks = {
            name: ContainerTask(
                Construct(self, f"Job {name}"),
                "Task",
                name=JOB,
                image=image,
                settings=settings,
                cpu=each.cpu,
                memory_mib=each.memory_mib,
                command=each.command,
                # Its last lines are what people read after a failure.
                keeps_every_line=True,
            )
            for name, each in jobs.items()
        }
        definitions = [task.definition.node.find_child("Resource") for task in tasks.values()]
        for definition in definitions:
            # RunTask takes the newest revision of a family, from the moment it is registered.
            definition.node.add_dependency(runs)
        self.task_roles: Sequence[iam.IRole] = [each.definition.task_role for each in tasks.values()]
        subnets = cluster.vpc.select_subnets(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS).subnet_ids
        stack = cdk.Stack.of(self)
        network = {
            "awsvpcConfiguration": {
                "subnets": subnets,
                "securityGroups": [security_group.security_group_id],
                "assignPublicIp": "DISABLED",
            }
        }
        declared = [
            {
                "name": name,
                "definition": tasks[name].definition.family,
                "minutes": each.minutes,
                "retries": each.retries,
                "overdue_minutes": each.overdue_minutes,
            }
            for name, each in jobs.items()
        ]
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="jobs.control",
            description=f"Runs the scheduled jobs of {service}",
            timeout=cdk.Duration.minutes(1),
            environment={
                "ENVIRONMENT": environment,
                "SERVICE": service,
                "CLUSTER": cluster.cluster_name,
                "NETWORK": stack.to_json_string(network),
                "JOBS": json.dumps(declared, separators=(",", ":")),
                "LEDGER": ledger.table.table_name,
                "REPOSITORY": image.repository_uri,
            },
        )
        # It reads every definition each minute.
        self.handler.function.node.add_dependency(*definitions)
        self._grant(tasks, cluster, ledger)
        for name, each in jobs.items():
            event = events.RuleTargetInput.from_object({"job": name, "due": events.EventField.time})
            schedule = events.Rule(
                self,
                f"Schedule {name}",
                description=f"Runs the job {name}",
                schedule=events.Schedule.expression(each.schedule),
                targets=[targets.LambdaFunction(self.handler.function, event=event)],
            )
            # Its deletion stops a run: after the last one has started, and while the task still has its role.
            removal = self.handler.resource(
                self,
                f"Removal {name}",
                kind="Custom::Job",
                properties={"Job": name, "Family": tasks[name].definition.family},
            )
            removal.node.add_dependency(tasks[name])
            schedule.node.add_dependency(removal)
            JobAlarms(self, f"Alarms {name}", environment=environment, job=name, topics=topics)
        events.Rule(
            self,
            "Ended",
            description="A job's task has stopped",
            event_pattern=events.EventPattern(
                source=["aws.ecs"],
                detail_type=["ECS Task State Change"],
                detail={
                    "clusterArn": [cluster.cluster_arn],
                    "lastStatus": ["STOPPED"],
                    "startedBy": [f"job-{name}" for name in jobs],
                },
            ),
            targets=[targets.LambdaFunction(self.handler.function)],
        )
        self.handler.run_every(
            _TENDED_EVERY,
            self,
            "Tended",
            description="Enforces the time limits of jobs, and measures how overdue they are",
            event={"tend": True},
        )

    def _grant(self, tasks: Mapping[str, ContainerTask], cluster: ecs.ICluster, ledger: ReleaseLedger) -> None:
        role, policy, stack = self.handler.role, self.handler.policy, cdk.Stack.of(self)
        of_cluster = {"ArnEquals": {"ecs:cluster": cluster.cluster_arn}}
        for task in tasks.values():
            definition = task.definition
            every_revision = arn_of(stack, "ecs", f"task-definition/{definition.family}:*")
            role.add_to_policy(
                iam.PolicyStatement(actions=["ecs:RunTask"], resources=[every_revision], conditions=of_cluster)
            )
            acknowledge(policy, allows_on(every_revision), reason="Each release brings a revision of its own.")
            role.add_to_policy(
                iam.PolicyStatement(
                    actions=["iam:PassRole"],
                    resources=[definition.task_role.role_arn, definition.obtain_execution_role().role_arn],
                    conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
                )
            )
            task.logs.grant(role, "logs:GetLogEvents")
        role.add_to_policy(
            iam.PolicyStatement(actions=["ecs:DescribeTasks", "ecs:ListTasks"], resources=["*"], conditions=of_cluster)
        )
        task_arn = arn_of(self, "ecs", "task/*")
        role.add_to_policy(iam.PolicyStatement(actions=["ecs:StopTask"], resources=[task_arn], conditions=of_cluster))
        acknowledge(policy, allows_on(task_arn), reason="Of this cluster only; ECS makes a task's id.")
        role.add_to_policy(iam.PolicyStatement(actions=["ecs:DescribeTaskDefinition"], resources=["*"]))
        acknowledge(policy, allows_on("*"), reason="Of one cluster; the read has no resource-level permissions.")
        actions = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:Query")
        ledger.table.grant(role, *actions)
