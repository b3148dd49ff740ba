"""Those policies of tests/stacks that hold whatever a file says, with the fixtures of this folder."""

from typing import Any

from tests.permissions import faults
from tests.stacks.test_policies import (  # noqa: F401
    test_a_composite_asks_for_no_more_than_it_may,
    test_a_container_starts_when_its_volumes_are_prepared_and_asks_nothing_of_its_image,
    test_a_task_definition_is_no_larger_than_ecs_takes,
    test_containers_are_confined,
    test_default_security_groups_are_closed,
    test_every_function_that_runs_by_itself_is_watched,
    test_every_listener_speaks_tls_and_knows_its_hosts,
    test_health_is_exact_and_draining_ends_before_the_stop,
    test_kept_stacks_are_protected,
    test_logs_and_keys_have_an_end_and_a_rotation,
    test_no_container_that_serves_can_be_entered,
    test_no_stack_update_reaches_the_list_of_cloudflares_addresses,
    test_no_template_holds_the_token_or_the_user_agent,
    test_nothing_is_open_to_the_world,
    test_nothing_waits_for_a_trail,
    test_repositories_are_immutable_and_scanned,
    test_rules_are_there_before_names_and_one_after_the_other,
    test_secrets_are_never_values,
    test_the_load_balancer_is_open_to_cloudflare_only,
    test_the_lock_closes_only_when_cloudflare_has_the_key,
    test_the_zone_is_asked_for_as_many_rules_as_were_counted,
    test_topics_of_alarms_are_encrypted_with_a_key_of_their_own,
    test_what_users_reach_asks_for_our_zones_certificate,
    test_zones_are_the_real_ones,
)


def test_every_statement_can_be_allowed(templates: dict[str, dict[str, Any]]) -> None:
    assert faults(templates) == []
