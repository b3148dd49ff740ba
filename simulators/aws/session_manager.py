"""`aws ssm start-session` with the document AWS-StartPortForwardingSessionToRemoteHost, for a task as target.

Stands for the AWS CLI and its plugin: python -m simulators.aws.session_manager ssm start-session …. The task must run
and must have been started with ECS Exec, as for the real agent; the connection then comes from this machine.
"""

import argparse
import json
import os
import socket
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import boto3

_ROOT = Path(__file__).resolve().parents[2]


def install(folder: Path) -> None:
    """Writes `aws` and its plugin into a folder for PATH. The plugin only has to exist."""
    folder.mkdir(exist_ok=True)
    for name in ("aws", "session-manager-plugin"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nPYTHONPATH="{_ROOT}" exec "{sys.executable}" -m {__name__} "$@"\n')
        program.chmod(0o755)


def main() -> None:
    parser = argparse.ArgumentParser()
    for word in ("service", "operation"):
        parser.add_argument(word)
    for option in ("region", "target", "document-name", "parameters", "reason"):
        parser.add_argument(f"--{option}", required=True)
    asked = parser.parse_args()
    if (asked.service, asked.operation, asked.document_name) != (
        "ssm", "start-session", "AWS-StartPortForwardingSessionToRemoteHost"
    ):  # fmt: skip
        sys.exit(f"not simulated: {asked}")
    cluster, task, runtime = asked.target.removeprefix("ecs:").split("_")
    ecs = boto3.client("ecs", region_name=asked.region, endpoint_url=os.environ.get("AWS_ENDPOINT_URL"))
    found = ecs.describe_tasks(cluster=cluster, tasks=[task])["tasks"]
    agents = [
        each.get("managedAgents") for one in found for each in one["containers"] if each.get("runtimeId") == runtime
    ]
    if not any(agents) or found[0]["lastStatus"] != "RUNNING":
        sys.exit(f"An error occurred (TargetNotConnected) when calling the StartSession operation: {asked.target}")
    given = {name: values[0] for name, values in json.loads(asked.parameters).items()}
    with closing(socket.create_server(("127.0.0.1", int(given["localPortNumber"])))) as server:
        while True:
            here, _ = server.accept()
            there = socket.create_connection((given["host"], int(given["portNumber"])))
            for source, target in ((here, there), (there, here)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main()
