"""A function's variables have the values of the environment's file, and refer to the resources that they name."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from config.model import Service
from config.services import on_ecs, same_image, stack_of
from infra_runtime.contract.names import image_parameter, stack_name
from infra_runtime.contract.releases import PLATFORMS
from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short
from template_policies.owners import Owner, owner

FUNCTION = "AWS::Lambda::Function"
DATABASE = "AWS::RDS::DBInstance"
SECRET = "AWS::SecretsManager::Secret"
PATH = "Environment"
# The type of resource that each of these variables names.
_NAMES = {
    "CLUSTER": "AWS::ECS::Cluster",
    "DATABASE": DATABASE,
    "DATABASE_LOG": DATABASE,
    "ECS_SERVICE": "AWS::ECS::Service",
    "LEDGER": "AWS::DynamoDB::Table",
    "LOGIN_SECRET": SECRET,
    "MASTER_DURING_UPGRADES": SECRET,
    "PARAMETER_GROUP": "AWS::RDS::DBParameterGroup",
    "PASS_SECRET": SECRET,
    "PGHOST": DATABASE,
    "REPOSITORY": "AWS::ECR::Repository",
    "TOPIC": "AWS::SNS::Topic",
}
# A connection needs all of them, and so does a report to Sentry.
_TOGETHER = ({"PGHOST", "PGPORT", "PGDATABASE"}, {"SENTRY_DSN", "SENTRY_ENVIRONMENT"})


@policy(
    reason="A function with another database's address, or without Sentry's, deploys without an error.",
    failure=Failure.UNOBSERVED,
    reads={FUNCTION: (PATH, "Handler"), DATABASE: ("DBName",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    databases = {each.get("DBName") for each in graph.of(DATABASE)}
    for each in graph.of(FUNCTION):
        if not str(each.get("Handler")).startswith("infra_runtime."):
            continue
        variables: Mapping[str, Any] = each.get(f"{PATH}.Variables", {})
        own = owner(graph, each)
        expected = {**_of_environment(graph, own, databases), **_of_service(graph, own, variables)}
        for name in sorted(expected.keys() & variables.keys()):
            if each.text(variables[name]) not in expected[name]:
                wanted = " or ".join(sorted(expected[name]))
                yield each.violation(PATH, f"has {name} {short(variables[name])}, must be {wanted}")
        for name in sorted(_NAMES.keys() & variables.keys()):
            if not graph.refers_to(each.stack, variables[name], _NAMES[name]):
                yield each.violation(PATH, f"has {name} {short(variables[name])}, must refer to an {_NAMES[name]}")
        for together in _TOGETHER:
            lacking = together - variables.keys()
            if lacking and lacking != together:
                yield each.violation(PATH, f"lacks {sorted(lacking)} beside {sorted(together - lacking)}")
        if graph.environment.sentry is not None and "SENTRY_DSN" not in variables:
            yield each.violation(PATH, "lacks SENTRY_DSN, so Sentry gets none of its errors")
    for each in graph.functions("release.verify"):
        if (own := owner(graph, each)) is not None:
            for name in sorted(_of_release_check(own.service).keys() - each.get(f"{PATH}.Variables", {}).keys()):
                yield each.violation(PATH, f"lacks {name}, which the file's release check has")


def _of_environment(graph: Graph, own: Owner | None, databases: set[str]) -> dict[str, set[str]]:
    environment = graph.environment
    known = {
        "BUCKET": {environment.media.bucket},
        "HOST": {environment.domains.media},
        "INSTANCE": set(environment.redis.instances),
        "MEDIA_BUCKET": {environment.media.bucket},
        "PGDATABASE": databases if own is None or own.slot is None else {f"preview_{own.slot}"},
        "PGPORT": {"5432"},
        "TOKEN_SECRET": {environment.cloudflare.token_secret},
        "ZONE": {environment.domains.zone},
    }
    if environment.sentry is not None:
        known["SENTRY_DSN"] = {environment.sentry.infrastructure.dsn}
        known["SENTRY_ENVIRONMENT"] = {graph.name}
    return known


def _of_service(graph: Graph, own: Owner | None, variables: Mapping[str, Any]) -> dict[str, set[str]]:
    environment = graph.environment
    product = environment.product
    if own is None:
        # Its stack concerns all instances, or none.
        name = variables.get("SERVICE")
        if name is None:
            return {}
        if name not in on_ecs(environment):
            return {"SERVICE": set(on_ecs(environment))}
        return {
            "STACK": {stack_name(product, graph.name, stack_of(environment, name))},
            "PARAMETER": {image_parameter(product, graph.name, name)},
            "PLATFORM": {PLATFORMS[environment.services[name].architecture]},
        }
    known = {"SERVICE": {*same_image(environment, own.name)} if own.slot is None else {f"preview-{own.slot}"}}
    if own.service.port is not None:
        known["PORT"] = {str(own.service.port)}
    if own.service.migrations is not None:
        known["MINUTES"] = {str(own.service.migrations.minutes)}
    return {**known, **_of_release_check(own.service)}


def _of_release_check(service: Service) -> dict[str, set[str]]:
    check = service.release_check
    if check is None:
        return {"RELEASE_PATH": {str(service.health_path)}}
    known = {"RELEASE_PATH": {check.path}}
    if check.version_field is not None:
        known["VERSION_FIELD"] = {check.version_field}
    if check.expect:
        known["EXPECT"] = {json.dumps(dict(check.expect))}
    return known
