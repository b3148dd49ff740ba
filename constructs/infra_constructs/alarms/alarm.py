"""The only place that makes alarms: metric, meaning for users, severity, recipients and runbook."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra_constructs.metrics import objections


class Severity(StrEnum):
    """How soon a person has to react."""

    CRITICAL = "critical"
    """Users are affected, or will be within the hour: wakes the person on call."""
    WARNING = "warning"
    """A person checks it on the next working day."""
    INFO = "info"
    """Information: no reaction is needed."""


class TreatMissing(StrEnum):
    """What missing data means; each alarm has to say."""

    BREACHING = "breaching"
    NOT_BREACHING = "notBreaching"
    IGNORE = "ignore"


Topics = Mapping[Severity, sns.ITopic]
_TREAT = {
    TreatMissing.BREACHING: cloudwatch.TreatMissingData.BREACHING,
    TreatMissing.NOT_BREACHING: cloudwatch.TreatMissingData.NOT_BREACHING,
    TreatMissing.IGNORE: cloudwatch.TreatMissingData.IGNORE,
}


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """When the alarm goes off: `breaches` of the last `periods` measurements are beyond `value`, in `unit`."""

    value: float
    unit: str
    breaches: int
    periods: int
    below: bool = False
    """Too little is the fault, not too much."""

    def __str__(self) -> str:
        amount = f"{self.value:.10g} {self.unit}"
        if self.unit.startswith("bytes"):
            amount = f"{self.value / 2**30:.3g} GiB{self.unit.removeprefix('bytes')}"
        side = "below" if self.below else "above"
        return f"{side} {amount} in {self.breaches} of {self.periods} periods"


@dataclass(frozen=True, kw_only=True)
class AlarmSpec:
    """What an alarm says to the person who is woken by it."""

    runbook: str
    """Name of the file in docs/runbooks, without its suffix; also the kind of the alarm."""
    description: str
    """What users notice, in one sentence."""
    severity: Severity
    metric: cloudwatch.IMetric
    threshold: Threshold
    missing: TreatMissing
    ok_severity: Severity | None = None
    """Recipients of its end, besides those of its beginning."""
    link: str | None = None
    """URL of a page that helps, besides the runbook."""
    paged_by_composite: bool = False
    """`infra_constructs.incident` pages, once for all of its alarms; this one then notifies as info."""

    @property
    def route(self) -> Severity:
        return Severity.INFO if self.paged_by_composite else self.severity


class ImplausibleAlarm(Exception):
    """It could never fire, or never resolve; the message says why."""


def add_alarm(
    scope: Construct, id_: str, *, topics: Topics | None, spec: AlarmSpec, physical_name: str | None = None
) -> cloudwatch.Alarm:
    """An alarm that notifies its topic when it fires and when it resolves. Without topics, a composite does.

    `physical_name` is only for the alarms that gate a release: ECS refers to them by name. Raises `ImplausibleAlarm`.
    """
    threshold = spec.threshold
    wrong = objections(spec.metric, value=threshold.value, unit=threshold.unit)
    if not 1 <= threshold.breaches <= threshold.periods:
        wrong.append(f"{threshold.breaches} of {threshold.periods} periods can never happen")
    if wrong:
        raise ImplausibleAlarm(f"{scope.node.path}/{id_}: {'; '.join(wrong)}")
    operator = cloudwatch.ComparisonOperator
    alarm = cloudwatch.Alarm(
        scope,
        id_,
        alarm_name=physical_name,
        alarm_description=alarm_description(
            scope, spec.severity, f"{spec.description} Threshold: {threshold}.", runbook=spec.runbook, link=spec.link
        ),
        metric=spec.metric,
        threshold=threshold.value,
        comparison_operator=operator.LESS_THAN_THRESHOLD if threshold.below else operator.GREATER_THAN_THRESHOLD,
        evaluation_periods=threshold.periods,
        datapoints_to_alarm=threshold.breaches,
        treat_missing_data=_TREAT[spec.missing],
    )
    if topics is not None:
        notify(alarm, topics, spec.route, ok_severity=spec.ok_severity)
    return alarm


def add_alarms(scope: Construct, specs: Mapping[str, AlarmSpec], *, topics: Topics) -> dict[str, cloudwatch.Alarm]:
    """Adds alarms, with the names of `specs` as their ids. Raises `ImplausibleAlarm`."""
    return {name: add_alarm(scope, name, topics=topics, spec=spec) for name, spec in specs.items()}


def composite_name(scope: Construct, id_: str) -> str:
    """Name of a composite alarm: begins with the stack's name, like the names that CloudFormation gives to others.

    CDK's own begins with the environment's, without the product: commands would not find it (ops/alarms.py), and two
    products in an account would want the same.
    """
    stack = cdk.Stack.of(scope)
    path = scope.node.path.removeprefix(f"{stack.node.path}/").replace("/", "")
    return f"{stack.stack_name}-{path}{id_}"


_RUNBOOKS = "infra:runbooks"


def link_runbooks(stack: cdk.Stack, *, repository: str) -> None:
    """Alarms of the stack link to the runbooks on the default branch of this repository at GitHub, OWNER/NAME."""
    stack.node.set_context(_RUNBOOKS, f"https://github.com/{repository}/blob/HEAD/")


def runbook_at(scope: Construct, runbook: str) -> str:
    """A runbook's URL, or its path if the environment does not name this repository."""
    return f"{scope.node.try_get_context(_RUNBOOKS) or ''}docs/runbooks/{runbook}.md"


def alarm_description(
    scope: Construct, severity: Severity, description: str, *, runbook: str, link: str | None = None
) -> str:
    """The text that a notification shows."""
    see = f" See: {link}" if link else ""
    return f"{severity.upper()}: {description} Runbook: {runbook_at(scope, runbook)}{see}"


def notify(
    alarm: cloudwatch.AlarmBase, topics: Topics, severity: Severity, *, ok_severity: Severity | None = None
) -> None:
    """When it goes off, and when it is over.

    Its end always goes where its beginning went: an incident at PagerDuty that no end resolves stays open.
    """
    own = {each: actions.SnsAction(topics[each]) for each in dict.fromkeys((severity, ok_severity or severity))}
    alarm.add_alarm_action(own[severity])
    alarm.add_ok_action(*own.values())
