"""What an AWS account needs before the first deployment."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from config.model import Environment
from infra_runtime.contract.names import GITHUB_ISSUER
from ops.account import is_denied
from ops.doctor.finding import Finding, unchecked
from ops.functions import Clients
from ops.stacks import NOT_CREATED

# The first resource of a service makes the role, and may fail because IAM is not yet consistent: so does the first
# cluster (cloudformation-coverage-roadmap #818), and so does the first database (eks-workshop-v2 #1609).
_SERVICES = (
    "ecs.amazonaws.com",
    "rds.amazonaws.com",
    "elasticloadbalancing.amazonaws.com",
    "ecs.application-autoscaling.amazonaws.com",
)
_CACHE = "elasticache.amazonaws.com"
# As in the manifests that our CDK writes (`requiresBootstrapStackVersion`).
_BOOTSTRAP = 6
_TOOLKIT = "CDKToolkit"
# In an AccessDenied that no policy causes.
_COST_EXPLORER_IS_OFF = "not enabled for cost explorer"


def service_linked_roles(environment: Environment, clients: Clients) -> Iterator[Finding]:
    iam = clients.client("iam")
    caches = any(each.elasticache is not None for each in environment.redis.instances.values())
    for service in (*_SERVICES, *([_CACHE] if caches else [])):
        pages = iam.get_paginator("list_roles").paginate(PathPrefix=f"/aws-service-role/{service}/")
        if not any(page["Roles"] for page in pages):
            yield Finding(
                where=f"account {environment.aws.account}",
                what=f"there is no service-linked role of {service}",
                why="the first resource of that service creates it, and fails if IAM is slow: the stack rolls back",
                fix=f"aws iam create-service-linked-role --aws-service-name {service}",
                repair=partial(iam.create_service_linked_role, AWSServiceName=service),
            )


def bootstrap(environment: Environment, clients: Clients) -> Iterator[Finding]:
    where = f"account {environment.aws.account}, {environment.aws.region}"
    command = f"npx cdk bootstrap aws://{environment.aws.account}/{environment.aws.region}"
    stack = _stack(clients, _TOOLKIT)
    if stack is None:
        why = "CDK deploys through its roles, bucket and registry"
        yield Finding(where=where, what=f"there is no stack {_TOOLKIT}", why=why, fix=command)
        return
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    version = int(outputs.get("BootstrapVersion", 0))
    if version < _BOOTSTRAP:
        yield Finding(
            where=where,
            what=f"{_TOOLKIT} has version {version}, but {_BOOTSTRAP} or newer is needed",
            why="cdk deploy refuses, or its roles lack permissions",
            fix=command,
        )
    given = {each["ParameterKey"]: each.get("ParameterValue", "") for each in stack.get("Parameters", [])}
    if not given.get("CloudFormationExecutionPolicies"):
        yield Finding(
            where=where,
            what="CloudFormation deploys as AdministratorAccess, the default of cdk bootstrap",
            why="everyone who may deploy is an administrator; a boundary on the deploy role does not limit that",
            fix=f"{command} --cloudformation-execution-policies POLICY_ARN",
            # The owner decides: how narrow it can be depends on what else is deployed there.
            stops=False,
        )


def oidc_provider(environment: Environment, clients: Clients, *, is_deployed: bool) -> Iterator[Finding]:
    """Whether the provider exists; its trust is checked elsewhere."""
    providers = clients.client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"]
    arn = next((each["Arn"] for each in providers if each["Arn"].endswith(f"/{GITHUB_ISSUER}")), None)
    owns, where = environment.delivery.owns_oidc_provider, f"account {environment.aws.account}"
    if owns and arn is not None and not is_deployed:
        yield Finding(
            where=where,
            what=f"GitHub's OIDC provider already exists: {arn}",
            why="IAM allows one per URL and account: the stack Delivery cannot create its own",
            fix="set delivery.owns_oidc_provider to false",
        )
    if not owns and arn is None:
        yield Finding(
            where=where,
            what="GitHub's OIDC provider does not exist, and delivery.owns_oidc_provider is false",
            why="the roles of the stack Delivery trust a provider that does not exist, so they cannot be assumed",
            fix="first deploy the environment of this account that owns it, or set delivery.owns_oidc_provider to true",
        )


def free_plan(environment: Environment, clients: Clients) -> Iterator[Finding]:
    """Since July 2025 a new account may be on it (API reference of Free Tier, "GetAccountPlanState")."""

    def is_on_it() -> bool:
        try:
            return bool(clients.client("freetier").get_account_plan_state()["accountPlanType"] == "FREE")
        except ClientError as error:
            if is_denied(error):
                raise
            return False  # ResourceNotFoundException: the account has no plan.

    yield from _asked(
        is_on_it,
        where=f"account {environment.aws.account}",
        about="its plan",
        what="is on the free plan",
        why="on the free plan RDS keeps one day of backups and makes only micro databases, and there are no load "
        "balancers: the stacks Data and Platform roll back",
        # The owner decides: it costs money from then on.
        fix="aws freetier upgrade-account-plan --account-plan-type PAID --region us-east-1",
    )


def cost_explorer(environment: Environment, clients: Clients) -> Iterator[Finding]:
    """AWS bills each call with 0.01 USD, so call it before the first deployment only."""
    today = datetime.now(UTC).date()
    period = {"Start": str(today - timedelta(days=1)), "End": str(today)}

    def is_off() -> bool:
        try:
            clients.client("ce").get_cost_and_usage(TimePeriod=period, Granularity="DAILY", Metrics=["UnblendedCost"])
        except ClientError as error:
            if _COST_EXPLORER_IS_OFF in str(error):
                return True
            if is_denied(error):
                raise
            # Cost Explorer is on, and has no data yet.
        return False

    yield from _asked(
        is_off,
        where=f"account {environment.aws.account}",
        about="Cost Explorer",
        what="Cost Explorer is off",
        why="AWS refuses the monitor of cost anomalies while it is off: the stack Observability rolls back",
        fix="open it once: console, Billing and Cost Management, Cost Explorer; no API turns it on. In an "
        "organization, the management account decides whether its members have it",
    )


def _asked(is_wrong: Callable[[], bool], *, where: str, about: str, what: str, why: str, fix: str) -> Iterator[Finding]:
    """What stops a deployment if the answer is yes. Raises what `is_wrong` raises, except AccessDenied."""
    try:
        if is_wrong():
            yield Finding(where=where, what=what, why=why, fix=fix)
    except ClientError as error:
        if not is_denied(error):
            raise
        yield unchecked(where, what=about, why=why)


def is_in(clients: Clients, stack: str) -> bool:
    found = _stack(clients, stack)
    return found is not None and found["StackStatus"] not in ("REVIEW_IN_PROGRESS", *NOT_CREATED)


def _stack(clients: Clients, name: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = clients.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return None
    return found
