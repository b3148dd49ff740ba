"""How the Python workers of Lambda functions start."""

import io
import os
import zipfile
from collections.abc import Iterator

import pytest
from ministack.core import lambda_runtime

from simulators.aws import forking

# MiniStack leaves the pipes of its workers open.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
HANDLER = """
import os, sys
loaded = "boto3" in sys.modules
count = 0

def handler(event, context):
    global count
    count += 1
    print("printed")
    if event == "dies":
        os._exit(1)
    while event == "hangs":
        pass
    return [count, os.getpid(), loaded, os.getenv("OWN"), os.getenv("SECRET"), os.getcwd() == sys.path[0]]
"""


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[lambda_runtime.Worker]]:
    """Of two functions."""
    monkeypatch.setattr(lambda_runtime, "subprocess", lambda_runtime.subprocess)
    forking.install()
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as written:
        written.writestr("forked.py", HANDLER)
    made = []
    for name in ("first", "second"):
        config = {
            "FunctionName": name,
            "FunctionArn": f"arn:aws:lambda:eu-central-1:111122223333:function:{name}",
            "Runtime": "python3.14",
            "Handler": "forked.handler",
            "Timeout": 1,
            "Environment": {"Variables": {"OWN": name}},
        }
        made.append(lambda_runtime.Worker(name, config, code.getvalue()))
    yield made
    lambda_runtime.kill_workers(made)


def test_each_worker_has_its_functions_environment_and_a_state_of_its_own(
    workers: list[lambda_runtime.Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = workers
    (one, pid, loaded, own, _, inside), again, (other, other_pid, *_) = (
        each.invoke({}, "request")["result"] for each in (first, first, second)
    )
    assert (one, again[0], other) == (1, 2, 1)
    assert pid == again[1]
    assert len({pid, other_pid, os.getpid()}) == 3
    assert (loaded, own, inside) == (True, "first", True)
    # What the emulator's process is given later, a worker that starts later has too.
    second.kill()
    monkeypatch.setenv("SECRET", "new")
    assert second.invoke({}, "request")["result"][3:5] == ["second", "new"]


def test_what_it_prints_is_its_log_and_a_worker_that_dies_or_hangs_is_replaced(
    workers: list[lambda_runtime.Worker],
) -> None:
    worker, _ = workers
    assert worker.invoke({}, "request")["log"] == "printed"
    assert worker.invoke("dies", "request")["error"] == "Worker process died"
    assert "timed out" in worker.invoke("hangs", "request")["error"]
    assert worker.invoke({}, "request")["result"][0] == 1
