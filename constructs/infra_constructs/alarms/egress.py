"""Metrics of the media bytes that Cloudflare's cache saves S3 from sending, by day.

Saved is what users got of media (answers with 200 or 206) less what S3 sent of it. S3 counts more than Cloudflare's
misses: the application's own reads, revalidations and objects that are not there. The real saving is a little higher.
"""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from infra_constructs.alarms.media import metric_of
from infra_constructs.media import STATIC_METRICS
from infra_constructs.metrics import own_metric
from infra_runtime.contract.metrics import TrafficMetric

_DAY = cdk.Duration.days(1)
_GIB = 2**30
# Below this many bytes a day there is nothing worth saving, and a handful of new objects is half of it.
_ENOUGH_BYTES = _GIB
# On-demand prices in eu-central-1, for the first 10 TB of a month; AWS's price list of 2026-08-31,
# EUC1-DataTransfer-Out-Bytes and EUC1-Requests-Tier2. S3 to Cloudflare is billed as traffic to the internet.
USD_PER_GIB, USD_PER_1000_REQUESTS = 0.09, 0.00043

Metrics = dict[str, cloudwatch.IMetric]


@dataclass(frozen=True, kw_only=True)
class EgressSaving:
    """Expressions about one environment. They have no value for a day on which users got less than 1 GiB of media, or
    S3 has counted no request, as its metrics are late or switched off then.
    """

    environment: str
    bucket: str
    has_static_files: bool
    """Whether sites' static files are in the bucket, too; what S3 sends of them does not count."""

    def percent(self) -> cloudwatch.MathExpression:
        """Share of the bytes that S3 did not send."""
        saved, metrics = self._bytes()
        return self._on_busy_days(f"100 * {saved} / edge", metrics, "egress saved, %")

    def gib(self) -> cloudwatch.MathExpression:
        saved, metrics = self._bytes()
        return self._on_busy_days(f"{saved} / {_GIB}", metrics, "egress saved, GiB")

    def usd(self) -> cloudwatch.MathExpression:
        """Transfer and requests, at the prices above."""
        (saved, bytes_), (spared, requests) = self._bytes(), self._requests()
        value = f"{saved} / {_GIB} * {USD_PER_GIB} + {spared} / 1000 * {USD_PER_1000_REQUESTS}"
        return self._on_busy_days(value, bytes_ | requests, "egress saved, USD")

    def _bytes(self) -> tuple[str, Metrics]:
        return self._saved("edge", TrafficMetric.MEDIA_BYTES, "sent", "BytesDownloaded")

    def _requests(self) -> tuple[str, Metrics]:
        return self._saved("asked", TrafficMetric.MEDIA_REQUESTS, "gets", "GetRequests")

    def _saved(self, edge_id: str, edge: TrafficMetric, s3_id: str, s3: str) -> tuple[str, Metrics]:
        """(what the edge counts less what S3 counts, the metrics in it)."""
        metrics: Metrics = {
            edge_id: own_metric(self.environment, edge, statistic="Sum", period=_DAY),
            s3_id: metric_of(self.bucket, s3, _DAY),
        }
        # S3 reports no bytes for a day on which it has only confirmed (304) what the edge has.
        by_s3 = f"FILL({s3_id}, 0)"
        if self.has_static_files:
            metrics[f"static_{s3_id}"] = metric_of(self.bucket, s3, _DAY, filter_id=STATIC_METRICS)
            by_s3 = f"({by_s3} - FILL(static_{s3_id}, 0))"
        return f"({edge_id} - {by_s3})", metrics

    def _on_busy_days(self, value: str, metrics: Metrics, label: str) -> cloudwatch.MathExpression:
        return cloudwatch.MathExpression(
            # Without a third argument there is no data point where the condition does not hold.
            expression=f"IF((edge >= {_ENOUGH_BYTES}) * (gets > 0), {value})",
            using_metrics=metrics | {"gets": metric_of(self.bucket, "GetRequests", _DAY)},
            label=label,
            period=_DAY,
        )
