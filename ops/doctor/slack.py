"""Whether Amazon Q Developer in chat applications may write to the environment's Slack channels."""

from collections.abc import Iterator
from typing import Any, Protocol

from botocore.exceptions import ClientError

from config.model import Environment, routes
from infra_runtime.contract.names import stack_name
from ops.account import is_denied
from ops.doctor.finding import Finding, unchecked
from ops.functions import Clients

# One of the four that have its API, which knows the configurations of all (AWS General Reference, "Amazon Q Developer
# in chat applications endpoints and quotas"; aws-cli #8658).
_REGION = "us-east-2"
_CONSOLE = "https://console.aws.amazon.com/chatbot"


class RegionalClients(Clients, Protocol):
    def client(self, service: str, /, region_name: str | None = None) -> Any: ...


def slack(name: str, environment: Environment, clients: RegionalClients) -> Iterator[Finding]:
    """What a person has to do in the console. Raises what boto3 raises."""
    channels = {each.slack_channel for each in routes(environment.alarms).values() if each.slack_channel}
    if not channels:
        return
    where, api = f"account {environment.aws.account}", clients.client("chatbot", region_name=_REGION)
    try:
        workspaces = {each["SlackTeamId"]: each for each in _all(api, "describe_slack_workspaces", "SlackWorkspaces")}
        taken = list(_all(api, "describe_slack_channel_configurations", "SlackChannelConfigurations"))
    except ClientError as error:
        if not is_denied(error):
            raise
        # Also the role of a pipeline that was deployed before this check.
        yield unchecked(where, what="Slack", why="AWS refuses a channel until its workspace is authorized")
        return
    own = f"{stack_name(environment.product, name, 'platform')}-"
    ours = {each["SlackChannelId"] for each in taken if each["ConfigurationName"].startswith(own)}
    workspace = environment.alarms.slack_workspace
    found = workspaces.get(workspace)
    if found is None or found.get("State") == "DISABLED":
        reason = f"authorized: {', '.join(sorted(workspaces)) or 'none'}" if found is None else found.get("StateReason")
        yield Finding(
            where=where,
            what=f"Slack workspace {workspace} is not authorized ({reason})",
            why="AWS refuses a channel of it: the stack Platform rolls back, and AWS may refuse that channel later, "
            "too, as it keeps the name of the configuration. A channel that it has accepted before gets no alarm",
            fix=f"{_CONSOLE}: Configure new client, Slack, Allow; no API does it",
            stops=bool(channels - ours),
        )
    for each in taken:
        if each["SlackChannelId"] in channels - ours:
            yield Finding(
                where=where,
                what=f"Slack channel {each['SlackChannelId']} has the configuration {each['ConfigurationName']}",
                why="AWS takes a channel once in an account: the stack Platform rolls back",
                fix="name another channel, or aws chatbot delete-slack-channel-configuration "
                f"--chat-configuration-arn {each['ChatConfigurationArn']} --region {_REGION}",
            )


def _all(api: Any, operation: str, key: str) -> Iterator[Any]:
    for page in api.get_paginator(operation).paginate():
        yield from page[key]
