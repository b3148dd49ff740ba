"""`infra` in the tests' process. A process of its own takes a second to load, and synthesizes again."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

import ops.__main__ as infra
from infra_runtime.cloudflare import credentials
from infra_runtime.cloudflare.api import new_pace


@dataclass(frozen=True)
class Answer:
    returncode: int
    stdout: str
    stderr: str


def infra_says(*words: str, **environment: str) -> Answer:
    """Runs `infra`, with these environment variables besides those of the tests."""
    out, errors, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(errors):
        patch.setattr(sys, "argv", ["infra", *words])
        # A new process has sent no request to Cloudflare yet.
        patch.setattr(credentials, "_pace", new_pace())
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            infra.main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Answer(code, out.getvalue(), errors.getvalue())
