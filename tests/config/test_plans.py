"""Our table of plans, held to Cloudflare's (simulators/cloudflare/vendor.py), which does not know it."""

from typing import get_args

import pytest

from config import plans
from config.model import RateLimit
from infra_constructs.cloudflare.media import EDGE_SECONDS
from simulators.cloudflare import vendor


@pytest.mark.parametrize("name", get_args(plans.PlanName))
def test_a_plan_allows_nothing_that_cloudflare_refuses(name: plans.PlanName) -> None:
    ours, theirs = plans.PLANS[name], vendor.PLANS[name]
    # Cloudflare publishes no number for deployments of managed rulesets, only that some plans have none.
    assert {phase: ours.rules[phase] for phase in theirs.rules if ours.rules[phase] > theirs.rules[phase]} == {}
    assert ours.rules.keys() - theirs.rules.keys() == {vendor.MANAGED_WAF}
    assert ours.rules[vendor.MANAGED_WAF] == 0 or theirs.managed_waf
    assert ours.longest_rate_period <= theirs.longest_rate_period
    assert ours.longest_mitigation <= theirs.longest_mitigation
    assert ours.managed_waf <= theirs.managed_waf
    assert ours.super_bot_fight_mode <= theirs.super_bot_fight_mode
    assert ours.acts_on_likely_bots <= theirs.acts_on_likely_bots
    names_host = theirs.rate_limit_fields is None or "http.host" in theirs.rate_limit_fields
    assert ours.rate_limit_by_host <= names_host
    assert theirs.least_edge_ttl <= ours.least_edge_ttl <= EDGE_SECONDS


def test_every_period_that_can_be_configured_is_one_of_cloudflare_s() -> None:
    fields = RateLimit.model_fields
    configurable = {*get_args(fields["period_seconds"].annotation), *get_args(fields["block_seconds"].annotation)}
    assert len(configurable) > 5
    assert configurable <= vendor.RATE_PERIODS


def test_every_plan_of_cloudflare_s_can_be_configured() -> None:
    assert set(plans.PLANS) == set(vendor.PLANS)
