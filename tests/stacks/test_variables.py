"""What containers read from their environment: analytics, Sentry, and names that no service may take."""

import json
from typing import Any

from config import load, variables
from tests.templates import of_type

Templates = dict[str, dict[str, Any]]


def main_container(task: dict[str, Any]) -> dict[str, Any]:
    """The task's container, other than the one that prepares volumes."""
    (found,) = [each for each in task["Properties"]["ContainerDefinitions"] if each["Name"] != "prepare"]
    return dict(found)


def test_analytics_use_the_sites_host_and_skip_previews(templates: Templates) -> None:
    ((_, task),) = [
        (where, each)
        for where, each in of_type(templates, "AWS::ECS::TaskDefinition", name="production/Frontend")
        if "Service" in where
    ]
    container = main_container(task)
    plain = {each["Name"]: each["Value"] for each in container["Environment"]}
    assert plain["NEXT_PUBLIC_POSTHOG_HOST"] == "https://daadaar.com/ingest"
    workers = [text for text in map(json.dumps, templates["production/Edge"]["Resources"].values()) if "worker" in text]
    assert any("daadaar.com/ingest/*" in text for text in workers)
    output = templates["production/Delivery"]["Outputs"]["FrontendBuildArgs"]["Value"]
    assert set(output.split()) == {f"{key}={value}" for key, value in plain.items() if key.startswith("NEXT_PUBLIC_")}
    assert "POSTHOG" not in json.dumps(templates["dev/Preview1"])


def test_sentry_gets_traces_and_profiles_of_both_tiers_by_the_rates_of_service_and_environment(
    templates: Templates,
) -> None:
    for name, traces in (("production", "0.01"), ("staging", "1.0")):
        for stack in ("Api", "Frontend"):
            found = _variables(templates, f"{name}/{stack}")
            rates = (found["SENTRY_TRACES_SAMPLE_RATE"], found["SENTRY_PROFILE_SESSION_SAMPLE_RATE"])
            assert rates == (traces, "1.0"), (name, stack)
    site = _variables(templates, "production/Frontend")
    for key in ("DSN", "ENVIRONMENT", "TRACES_SAMPLE_RATE", "PROFILE_SESSION_SAMPLE_RATE"):
        assert site[f"NEXT_PUBLIC_SENTRY_{key}"] == site[f"SENTRY_{key}"]
    assert not any(key.startswith("NEXT_PUBLIC_SENTRY") for key in _variables(templates, "production/Api"))
    assert "SENTRY_DSN" not in json.dumps(templates["dev/Preview1"])


def test_a_site_has_the_release_of_its_build_and_any_other_service_that_of_its_digest(templates: Templates) -> None:
    assert "SENTRY_RELEASE" not in _variables(templates, "production/Frontend")
    assert "SENTRY_RELEASE" in _variables(templates, "production/Api")
    values = {
        found["SERVICE"]: json.loads(found["SENTRY"])["named_by"]
        for _, function in of_type(templates, "AWS::Lambda::Function", name="production/Delivery")
        if "SENTRY" in (found := function["Properties"].get("Environment", {}).get("Variables", {}))
    }
    assert values == {"api": "digest", "frontend": "tag"}


def test_every_variable_of_a_container_has_a_name_that_no_service_may_take(templates: Templates) -> None:
    """It is reserved or the service's own. A variable missing from `variables.provided` could be set twice."""
    for name, environment in load().items():
        for service in environment.services:
            known = variables.provided(environment, service).keys() | variables.declared(environment, service).keys()
            # Those that a variable of the service's own replaces (docs/application-contract.md).
            known |= {"HOME", "HOSTNAME", "KEEP_ALIVE_TIMEOUT", "NODE_ENV", "NODE_EXTRA_CA_CERTS", "PGSSLROOTCERT"}
            assert _variables(templates, f"{name}/{service.capitalize()}").keys() <= known, (name, service)


def _variables(templates: Templates, stack: str) -> dict[str, Any]:
    """Variables of the service's own container."""
    (task,) = [each for where, each in of_type(templates, "AWS::ECS::TaskDefinition", name=stack) if "Service" in where]
    container = main_container(task)
    return {each["Name"]: each["Value"] for each in container["Environment"]}
