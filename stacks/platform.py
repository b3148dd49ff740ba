"""What all services share: cluster, load balancer, alarm topics, the Cloudflare provider."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_secretsmanager as secretsmanager

from config import Environment
from config.model import routes
from config.plans import PLANS
from config.previews import certified_hosts
from config.rules import rules_by_phase
from infra_constructs.alarms.alarm import Severity, Topics
from infra_constructs.alarms.certificates import CertificateAlarms
from infra_constructs.certificate import ValidatedCertificate
from infra_constructs.checks import CheckPass
from infra_constructs.cloudflare import zone_settings
from infra_constructs.cloudflare.preflight import Preflight
from infra_constructs.cloudflare.provider import CloudflareProvider, CloudflareToken
from infra_constructs.cluster import Cluster
from infra_constructs.load_balancer import LoadBalancer
from infra_constructs.origin_lock import OriginLock
from infra_constructs.topics import AlarmTopics, RouteProps
from stacks.base import EnvironmentStack
from stacks.network import NetworkExports
from stacks.retention import retention_of


@dataclass(frozen=True, kw_only=True)
class PlatformExports:
    """What later stacks take from this one."""

    cluster: ecs.ICluster
    load_balancer: LoadBalancer
    origin_lock: OriginLock
    cloudflare: CloudflareProvider
    topics: Topics
    check_pass: secretsmanager.ISecret
    """Secret header that exempts our own checks from bot challenges."""


class PlatformStack(EnvironmentStack):
    """Cluster, load balancer with its origin lock, and the topics to which alarms of later stacks are sent."""

    def __init__(self, scope: cdk.Stage, id_: str, *, environment: Environment, network: NetworkExports) -> None:
        super().__init__(
            scope,
            id_,
            environment=environment,
            description="Cluster, load balancer, its lock, and alarm topics",
            protected=True,
        )
        hosts = certified_hosts(environment)
        settings, zone = environment.cloudflare, environment.domains.zone
        token = CloudflareToken(self, name=settings.token_secret)
        cloudflare = CloudflareProvider(
            self, "Cloudflare", token=token, store=self.edge_store, owner=self.environment_name, zone=zone
        )
        limits = PLANS[settings.plan].rules
        preflight = Preflight(
            self,
            "Preflight",
            provider=cloudflare,
            plan=settings.plan,
            rules={phase: (ours, limits[phase]) for phase, ours in rules_by_phase(environment).items()},
            settings=list(zone_settings.TLS) if settings.zone is not None else [],
        )
        certificate = ValidatedCertificate(
            self,
            "Certificate",
            token=token,
            owner=self.environment_name,
            zone=zone,
            hosts=hosts,
            adopt=settings.adopt,
        )
        lock = OriginLock(
            self,
            "OriginLock",
            token=token,
            owner=self.environment_name,
            zone=zone,
            hosts=hosts,
            adopt=settings.adopt,
        )
        certificate.resource.node.add_dependency(preflight.resource)
        # In sequence: both write into the zone.
        lock.resource.node.add_dependency(certificate.resource)
        cluster = Cluster(self, "Cluster", vpc=network.vpc)
        balancer = LoadBalancer(
            self,
            "LoadBalancer",
            vpc=network.vpc,
            security_group=network.load_balancer_access,
            certificate=certificate.certificate,
            trust_store=lock.trust_store,
            retention=retention_of(environment),
        )
        topics = AlarmTopics(
            self,
            "Alarms",
            routes={
                Severity(severity): RouteProps(
                    email=route.email, slack_channel=route.slack_channel, webhook_secret=route.webhook_secret
                )
                for severity, route in routes(environment.alarms).items()
            },
            slack_workspace=environment.alarms.slack_workspace,
        )
        CertificateAlarms(self, "CertificateAlarms", certificate=certificate.certificate, topics=topics.by_severity)
        self.exports = PlatformExports(
            cluster=cluster.cluster,
            load_balancer=balancer,
            origin_lock=lock,
            cloudflare=cloudflare,
            topics=topics.by_severity,
            check_pass=CheckPass(self, "CheckPass").secret,
        )
