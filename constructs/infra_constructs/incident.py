"""One incident is one page, however many alarms fire."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra_constructs.alarms.alarm import Severity, Topics, alarm_description, composite_name, notify

# Causes are measured later than symptoms: a symptom within this time has already paged.
_WAIT_FOR_SYMPTOM = cdk.Duration.minutes(5)
# After users have recovered, the cause should end too; if it does not, it pages.
_AFTER_RECOVERY = cdk.Duration.minutes(10)
# Cloudflare's numbers are up to a quarter of an hour old, and their alarms stay on for as long again: a short outage
# has paged and ended by then.
_AFTER_LATE_METRICS = cdk.Duration.minutes(30)


class Incident(Construct):
    """Symptoms page at once. Those that are measured late page only if no other did: an outage of five minutes must not
    page again when Cloudflare's numbers come. Causes page while users do not notice them, and not beside a symptom's
    page.

    Never the other way round: a cause that lasts for hours must not silence what users feel (docs/adr/0016).
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        symptoms: Sequence[cloudwatch.IAlarm],
        late_symptoms: Sequence[cloudwatch.IAlarm],
        causes: Sequence[cloudwatch.IAlarm],
        topics: Topics,
    ) -> None:
        super().__init__(scope, id_)
        users = self._page("Users", "Users are affected: errors, slowness or no answer.", symptoms, topics)
        delayed = self._page(
            "Delayed",
            "Cloudflare's delayed metrics show errors for users that no other alarm has reported.",
            late_symptoms,
            topics,
            suppressor=users,
            wait=cdk.Duration.minutes(1),
            extension=_AFTER_LATE_METRICS,
        )
        looming = self._page(
            "Looming",
            "Users will soon be affected: something that they need is nearly exhausted.",
            causes,
            topics,
            suppressor=users,
            wait=_WAIT_FOR_SYMPTOM,
            extension=_AFTER_RECOVERY,
        )
        self.pages: list[cloudwatch.IAlarm] = [users, delayed, looming]

    def _page(
        self,
        id_: str,
        description: str,
        alarms: Sequence[cloudwatch.IAlarm],
        topics: Topics,
        *,
        suppressor: cloudwatch.IAlarm | None = None,
        wait: cdk.Duration | None = None,
        extension: cdk.Duration | None = None,
    ) -> cloudwatch.CompositeAlarm:
        """A composite that pages when any of the alarms fires, unless `suppressor` fires."""
        page = cloudwatch.CompositeAlarm(
            self,
            id_,
            composite_alarm_name=composite_name(self, id_),
            alarm_description=alarm_description(self, Severity.CRITICAL, description, runbook="incident"),
            alarm_rule=_any(alarms),
            actions_suppressor=suppressor,
            actions_suppressor_wait_period=wait,
            actions_suppressor_extension_period=extension,
        )
        notify(page, topics, Severity.CRITICAL)
        return page


def _any(alarms: Sequence[cloudwatch.IAlarm]) -> cloudwatch.IAlarmRule:
    state = cloudwatch.AlarmState.ALARM
    return cloudwatch.AlarmRule.any_of(*(cloudwatch.AlarmRule.from_alarm(each, state) for each in alarms))
