"""Runs the emulator in the foreground, on 127.0.0.1 only: `python -m simulators.aws PORT`."""

import gc
import os
import sys
from functools import cache

import botocore.session

from simulators.aws import LIVE
from simulators.aws.conditions import Condition, is_on


def main() -> None:
    # With Python's default, an eighth of the processor time goes into collecting garbage.
    gc.set_threshold(50_000)
    port = sys.argv[1]
    os.environ |= {
        "BIND_HOST": "127.0.0.1",  # MiniStack's own default is every interface
        "GATEWAY_PORT": port,
        "MINISTACK_HOST": "127.0.0.1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    # Workers of a function share its bytecode, in a folder that is removed with the emulator (`unpacking`).
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if is_on(Condition.IAM):
        os.environ["AUTH"] = "true"
    # MiniStack, `lists` and our clients have sessions of their own: each would parse the models of services again.
    botocore.session.create_loader = cache(botocore.session.create_loader)
    # Read at import, so only now.
    from ministack import app

    from simulators.aws import (
        account_plan,
        alarm_messages,
        authorization,
        consistency,
        cost_explorer,
        event_logs,
        faults,
        forking,
        lists,
        log_events,
        long_polling,
        managed_policies,
        quotas,
        recipients,
        rotation,
        scanning,
        service_linked_roles,
        service_principals,
        stack_events,
        stack_updates,
        throttling,
        timestamps,
        types,
        unpacking,
        versions,
        web_identity,
    )
    from simulators.aws.cloudwatch import mute_rules
    from simulators.aws.resource_type import run_types_on_threads

    managed_policies.install()
    types.install()
    stack_updates.install()
    quotas.install()
    account_plan.install()
    cost_explorer.install()
    rotation.install()
    timestamps.install()
    scanning.install()
    versions.install()
    consistency.install()
    service_linked_roles.install()
    faults.install()
    long_polling.install()
    stack_events.install()
    if is_on(Condition.IAM):
        authorization.install()
        service_principals.install()
        web_identity.install()
    log_events.install()
    event_logs.install()
    lists.install()
    throttling.install()
    recipients.install()
    alarm_messages.install()  # Around it: people get the complete message.
    mute_rules.install()  # A muted alarm notifies no one.
    unpacking.install()
    forking.install()
    if os.environ.get(LIVE):
        # Only here: it imports NumPy, which takes longer than everything that it does for an account at rest.
        from simulators.aws.cloudwatch import live

        live.install()
    run_types_on_threads()
    sys.argv = sys.argv[:1]
    app.main()


if __name__ == "__main__":
    main()
