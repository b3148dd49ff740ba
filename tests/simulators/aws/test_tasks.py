"""A task in the emulator has what its definition gives, and nothing more."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import boto3
import pytest

from infra_constructs.task_preparation import authority_of
from simulators.aws.process import Emulator
from tests.simulators.aws.conftest import KEYS, LOG
from tests.tasks import template

PUBLIC = "public.ecr.aws/docker/library/busybox:1.37.0-musl"
Run = Callable[..., Mapping[str, Any]]


@pytest.fixture
def run(running: Emulator, request: pytest.FixtureRequest) -> Run:
    """Runs a task of these containers to its end; what ECS says of it, and the lines of each container."""

    def to_its_end(*containers: dict[str, Any], volumes: Sequence[str] = ()) -> Mapping[str, Any]:
        log = {"logDriver": "awslogs", "options": LOG}
        family = request.node.name
        boto3.client("ecs", endpoint_url=running.url, **KEYS).register_task_definition(
            family=family,
            cpu="256",
            memory="512",
            volumes=[{"name": each} for each in volumes],
            containerDefinitions=[{"image": PUBLIC, "logConfiguration": log, **each} for each in containers],
        )
        return _ended(running, family, "tasks")

    return to_its_end


def _ended(running: Emulator, definition: str, log_group: str) -> Mapping[str, Any]:
    ecs = boto3.client("ecs", endpoint_url=running.url, **KEYS)
    arn = ecs.run_task(cluster="one", taskDefinition=definition)["tasks"][0]["taskArn"]
    give_up = time.monotonic() + 30
    while (task := ecs.describe_tasks(cluster="one", tasks=[arn])["tasks"][0])["lastStatus"] != "STOPPED":
        assert time.monotonic() < give_up, task
        time.sleep(0.05)
    said = _said(running, log_group, arn)
    return {**task, "said": said, **{each["name"]: each for each in task["containers"]}}


def _said(running: Emulator, log_group: str, task: str) -> str:
    logs = boto3.client("logs", endpoint_url=running.url, **KEYS)
    events = logs.filter_log_events(logGroupName=log_group)["events"]
    return "\n".join(each["message"] for each in events if task.rpartition("/")[2] in each["logStreamName"])


def shell(script: str, *words: str, **more: Any) -> dict[str, Any]:
    return {"name": "app", "user": "1000:1000", "command": ["sh", "-c", script, "app", *words], **more}


def mount(volume: str, path: str, *, read_only: bool = False) -> dict[str, Any]:
    return {"sourceVolume": volume, "containerPath": path, "readOnly": read_only}


TMP = "/tmp"  # noqa: S108
CONFINED = {"linuxParameters": {"capabilities": {"drop": ["ALL"]}}}
PREPARED = {"dependsOn": [{"containerName": "prepare", "condition": "SUCCESS"}]}


def test_tasks_are_dated_to_the_millisecond(run: Run) -> None:
    """Cut to the second, one that reads a secret after its change would pass for older, and be waited for in vain."""
    task = run(shell("true"))
    assert any(task[each].microsecond for each in ("createdAt", "startedAt", "stoppedAt"))


def test_an_empty_volume_belongs_to_root(run: Run) -> None:
    writes = shell('echo x > "$1"', f"{TMP}/x", mountPoints=[mount("tmp", TMP)], **CONFINED)
    found = run(writes, volumes=["tmp"])
    assert found["app"]["exitCode"] != 0
    assert "Permission denied" in found["said"]


def test_a_volume_made_writable_by_one_container_is_writable_in_another(run: Run) -> None:
    tmp = [mount("tmp", TMP)]
    prepare = {"name": "prepare", "user": "0:0", "essential": False, "mountPoints": tmp,
               "command": ["chmod", "1777", TMP]}  # fmt: skip
    app = shell('echo x > "$1" && cat "$1"', f"{TMP}/x", mountPoints=tmp, **CONFINED, **PREPARED)
    found = run(app, prepare, volumes=["tmp"])
    assert (found["prepare"]["exitCode"], found["app"]["exitCode"], found["said"]) == (0, 0, "x")


def test_a_volume_that_is_mounted_to_be_read_is_not_written(run: Run) -> None:
    prepare = {"name": "prepare", "user": "0:0", "essential": False, "mountPoints": [mount("shared", "/infra")],
               "command": ["chmod", "1777", "/infra"]}  # fmt: skip
    only = [mount("shared", "/infra", read_only=True)]
    app = shell('echo x > "$1"', "/infra/x", mountPoints=only, **CONFINED, **PREPARED)
    assert run(app, prepare, volumes=["shared"])["app"]["exitCode"] != 0


def test_a_container_whose_dependency_failed_never_starts_and_ecs_says_which(run: Run) -> None:
    prepare = {"name": "prepare", "essential": False, "command": ["sh", "-c", "exit 3"]}
    found = run(shell("echo started", **PREPARED), prepare)
    assert (found["stopCode"], found["stoppedReason"]) == ("TaskFailedToStart", "Task failed to start")
    assert found["app"]["reason"] == (
        "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency "
        f"[prepare({PUBLIC}) (STOPPED->RUNNING) -  Exit: 3] for target [app({PUBLIC}) (NONE->RUNNING)] "
        "as dependency did not exit successfully."
    )
    assert (found["prepare"]["exitCode"], found["app"]["exitCode"], found["said"]) == (3, 143, "")


def test_nothing_is_trusted_that_the_definition_does_not_name(run: Run) -> None:
    found = run(shell('echo "[$NODE_EXTRA_CA_CERTS][$PGSSLROOTCERT][$SSL_CERT_FILE]"'))
    assert found["said"] == "[][][]"


def test_the_authority_of_rds_is_the_one_that_signs_here(run: Run, running: Emulator) -> None:
    ours = (running.images.parent / "authority" / "ca.pem").read_text()
    given = {"name": "PEM", "value": authority_of("eu-central-1")}
    assert run(shell('echo "$PEM"', environment=[given]))["said"].split() == ours.split()
    other = {"name": "PEM", "value": ours.replace("CERTIFICATE", "PUBLIC KEY")}
    assert run(shell('echo "$PEM"', environment=[other]))["said"].split() == other["value"].split()


def pushed(running: Emulator, program: str) -> str:
    """An image of one program and nothing else; returns its reference."""
    digest = f"{abs(hash(program)):064x}"
    folder = running.images / digest
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "server").write_text(program)
    (folder / "server").chmod(0o755)
    folder.with_suffix(".json").write_text(json.dumps({"command": ["/server"], "has_root": True}))
    return f"111122223333.dkr.ecr.eu-central-1.amazonaws.com/api@sha256:{digest}"


ALONE = "#!/bin/sh\necho here I am\n"


def test_an_image_of_one_program_has_no_shell_and_no_node(run: Run, running: Emulator) -> None:
    image = pushed(running, ALONE)
    assert run({"name": "app", "image": image})["said"] == "here I am"
    for missing in ("sh", "node", "curl"):
        found = run({"name": "app", "image": image, "command": [missing]})
        assert f'exec: "{missing}": executable file not found in $PATH' in found["stoppedReason"]


def test_a_shell_that_was_brought_along_runs_in_it(run: Run, running: Emulator) -> None:
    image, where = pushed(running, ALONE), [mount("shared", "/infra")]
    prepare = {"name": "prepare", "essential": False, "mountPoints": where,
               "command": ["cp", "/bin/busybox", "/infra/busybox"]}  # fmt: skip
    app = {"name": "app", "image": image, "entryPoint": ["/infra/busybox", "env"], "mountPoints": where,
           "command": ["/infra/busybox", "echo", "waits"], **PREPARED}  # fmt: skip
    assert run(app, prepare, volumes=["shared"])["said"] == "waits"


# Builtins of a shell only: there is no other program in its image.
LOOKS_AROUND = """#!/bin/sh
echo written > "$HOME/file" && read -r line < "$HOME/file" && echo "$line"
read -r line < "$NODE_EXTRA_CA_CERTS" && echo "$line"
(echo x > "$PGSSLROOTCERT") 2> "$HOME/errors" || echo "cannot be written"
"${PGSSLROOTCERT%/*}/busybox" echo "a shell"
"""


def test_a_task_of_ours_has_all_that_its_image_lacks(running: Emulator) -> None:
    ssm = boto3.client("ssm", endpoint_url=running.url, **KEYS)
    ssm.put_parameter(Name="/image", Value=pushed(running, LOOKS_AROUND), Type="String")
    cloudformation = boto3.client("cloudformation", endpoint_url=running.url, **KEYS)
    cloudformation.create_stack(StackName="ours", TemplateBody=json.dumps(template(command=["/server"])))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="ours", WaiterConfig={"Delay": 1})
    made = cloudformation.list_stack_resources(StackName="ours")["StackResourceSummaries"]
    ids = {each["ResourceType"]: each["PhysicalResourceId"] for each in made}
    found = _ended(running, ids["AWS::ECS::TaskDefinition"], ids["AWS::Logs::LogGroup"])
    assert (found["prepare"]["exitCode"], found["app"]["exitCode"]) == (0, 0), found
    assert found["said"].splitlines() == ["written", "-----BEGIN CERTIFICATE-----", "cannot be written", "a shell"]
