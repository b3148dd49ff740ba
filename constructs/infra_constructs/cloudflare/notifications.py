"""Cloudflare's own notifications: floods, an origin that does not answer, certificates that expire."""

from collections.abc import Sequence

from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareProvider


class Notifications(Construct):
    """Notifications by e-mail, to the recipients of critical alarms."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        provider: CloudflareProvider,
        emails: Sequence[str],
        zone: str,
        counts_origin_errors: bool,
    ) -> None:
        super().__init__(scope, id_)
        # The rate of origin errors is for Enterprise. `real_origin_monitoring`, on every plan, covers only 521: a
        # refused connection, which a load balancer hardly ever answers with. Our own checks see 502 to 504 and 522.
        origin = "http_alert_origin_error" if counts_origin_errors else "real_origin_monitoring"
        kinds = {
            "ddos": ("Flood of requests", "dos_attack_l7", False),
            "origin": ("The origin refuses connections", origin, True),
            "edge-certificate": ("Edge certificate", "universal_ssl_event_type", False),
            "origin-certificate": (
                "Client certificate for the origin",
                "hostname_aop_custom_certificate_expiration_type",
                False,
            ),
        }
        provider.declare(
            self,
            "Resource",
            kind="notifications",
            name="all",
            policies=[
                {
                    "name": name,
                    "title": f"{zone}: {title}",
                    "alert_type": alert_type,
                    "emails": list(emails),
                    "of_zone": of_zone,
                }
                for name, (title, alert_type, of_zone) in kinds.items()
            ],
        )
