"""Monitoring functions run as often as their alarms and their purpose need."""

import re
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

RULE = "AWS::Events::Rule"
# Most minutes between two runs, by module.
OFTEN = {
    "checks": 1,
    "redis.monitor": 5,
    "edge_traffic": 5,
    "database.backups": 5,
    "media_access": 10,
    "restart_service": 15,
    "previews.control": 15,
    "cloudflare_ranges": 60,
    "database.drills": 60,
    "edge_drift": 360,
    "origin_lock": 1440,
    "database.previews": 1440,
}
UNITS = {"minute": 1, "hour": 60, "day": 1440}


@policy(
    reason="Cloudflare publishes a range some days before it is used; an alarm with a period of a minute needs "
    "data each minute.",
    failure=Failure.UNOBSERVED,
    reads={RULE: ("ScheduleExpression", "Targets"), "AWS::Lambda::Function": ("Handler",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    seen: dict[str, float] = {}
    for rule in graph.of(RULE):
        text = rule.get("ScheduleExpression")
        if text is None:
            continue
        rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", str(text))
        cron = re.fullmatch(r"cron\(\d+ \d+ \* \* \? \*\)", str(text))
        minutes = int(rate[1]) * UNITS[rate[2]] if rate else 1440 if cron else float("inf")
        for target in rule.items("Targets"):
            function = graph.target(rule.stack, target.get("Arn"))
            module = str(function.get("Handler")) if function is not None else ""
            name = module.removeprefix("infra_runtime.").removesuffix(".handler")
            seen[name] = min(seen.get(name, float("inf")), minutes)
            if name in OFTEN and minutes > OFTEN[name]:
                yield rule.violation(
                    "ScheduleExpression", f"is {text}, must be at most {OFTEN[name]} minutes for {name}"
                )
    for name, most in OFTEN.items():
        if graph.functions(name) and seen.get(name, float("inf")) > most:
            yield graph.missing(RULE, f"is missing: a schedule of {name}", stack="any")
