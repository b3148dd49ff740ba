"""What the workers of Lambda functions share."""

import io
import zipfile
from pathlib import Path

import pytest
from ministack.core import lambda_runtime

from simulators.aws import unpacking

FUNCTION = "arn:aws:lambda:eu-central-1:111122223333:function:unpacked"


def archive(says: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        written.writestr("unpacked.py", f"def handler(event, context):\n    return [{says!r}, __file__]\n")
    return file.getvalue()


def worker(code: bytes) -> lambda_runtime.Worker:
    config = {
        "FunctionName": "unpacked",
        "FunctionArn": FUNCTION,
        "Runtime": "python3.14",
        "Handler": "unpacked.handler",
    }
    return lambda_runtime.Worker("unpacked", config, code)


def test_each_archive_is_unpacked_once_however_many_workers_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(lambda_runtime, "zipfile", lambda_runtime.zipfile)
    unpacking.install()
    workers = [worker(archive("one")), worker(archive("one")), worker(archive("another"))]
    processes = []
    try:
        messages = [each.invoke({}, "request")["result"] for each in workers]
        processes = [each._proc for each in workers]
        assert [says for says, _ in messages] == ["one", "one", "another"]
        first, second, other = (Path(file).resolve() for _, file in messages)
        assert first == second != other
        # A worker that ends leaves the others their code.
        workers[0].kill()
        assert first.exists()
    finally:
        lambda_runtime.kill_workers(workers)
        for process in processes:
            for pipe in (process.stdin, process.stdout, process.stderr):  # MiniStack leaves them open.
                pipe.close()
