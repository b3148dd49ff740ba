"""The dashboard's graph widget: its size, axes, labels and percentages."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

WIDTH, HEIGHT = 24, 6
MINUTE, FIVE_MINUTES = cdk.Duration.minutes(1), cdk.Duration.minutes(5)


def graph(
    title: str,
    left: Sequence[cloudwatch.IMetric],
    *,
    right: Sequence[cloudwatch.IMetric] = (),
    right_max: float | None = 5,
    limit: tuple[float, str] | None = None,
) -> cloudwatch.GraphWidget:
    """`right` has release markers, which `right_max` scales; pass another one for other metrics."""
    annotations = [cloudwatch.HorizontalAnnotation(value=limit[0], label=limit[1])] if limit else []
    return cloudwatch.GraphWidget(
        title=title,
        left=list(left),
        right=list(right),
        left_annotations=annotations,
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
        right_y_axis=cloudwatch.YAxisProps(min=0, max=right_max, show_units=False) if right else None,
        width=WIDTH // 4,
        height=HEIGHT,
    )


def named(metric: cloudwatch.IMetric, label: str) -> cloudwatch.Metric:
    assert isinstance(metric, cloudwatch.Metric | cloudwatch.MathExpression)
    return metric.with_(label=label)  # type: ignore[return-value]


def percentage(label: str, part: cloudwatch.Metric, whole: cloudwatch.Metric) -> cloudwatch.MathExpression:
    # Ids are letters, digits and underscores (CloudWatch API Reference, MetricDataQuery); names have hyphens.
    of = label.replace("-", "_")
    return cloudwatch.MathExpression(
        expression=f"100 * {of}_part / {of}_whole",
        using_metrics={f"{of}_part": part, f"{of}_whole": whole},
        label=label,
        period=FIVE_MINUTES,
    )
