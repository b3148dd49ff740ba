"""Alarms on the load balancer's certificate. Cloudflare renews its own."""

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarms


class CertificateAlarms(Construct):
    """ACM renews sixty days before the end, by DNS records that have to be there."""

    def __init__(self, scope: Construct, id_: str, *, certificate: acm.ICertificate, topics: Topics) -> None:
        super().__init__(scope, id_)
        days = {"Soon": (30, Severity.WARNING), "Now": (7, Severity.CRITICAL)}
        specs = {
            name: AlarmSpec(
                runbook="certificate-expiry",
                description=("ACM does not renew the load balancer's certificate; once it expires, users get errors."),
                severity=severity,
                metric=certificate.metric_days_to_expiry(period=cdk.Duration.days(1), statistic="Minimum"),
                threshold=Threshold(value=left, unit="days", breaches=1, periods=1, below=True),
                # ACM publishes twice a day, and only for certificates in use.
                missing=TreatMissing.IGNORE,
            )
            for name, (left, severity) in days.items()
        }
        self.alarms = add_alarms(self, specs, topics=topics)
