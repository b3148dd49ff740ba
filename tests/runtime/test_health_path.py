"""Another path of health checks: no target group asks for it before every task that serves answers it."""

import http.server
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from infra_runtime.custom_resource import Request
from infra_runtime.health_path import NotAnswered, converge


@contextmanager
def task(answers: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """An application that knows these paths, with the status of each; (address, port)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers.get(self.path, 404))
            self.send_header("Location", "/old")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield "127.0.0.1", server.server_port
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Account:
    """A stack with two target groups, of which blue has these tasks: address, port, state."""

    targets: list[tuple[str, int, str]]
    path: str = "/old"
    exists: bool = True

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: str) -> Any:
        known = [
            {"LogicalResourceId": name, "PhysicalResourceId": f"arn:{name}"} for name in ("Blue", "Green", "Other")
        ]
        # The stack is being created.
        return [{"StackResourceSummaries": known if self.exists else [{"LogicalResourceId": "Blue"}]}]

    def describe_target_groups(self, **asked: list[str]) -> Any:
        assert asked["TargetGroupArns"] == ["arn:Blue", "arn:Green"]
        return {
            "TargetGroups": [{"TargetGroupArn": arn, "HealthCheckPath": self.path} for arn in asked["TargetGroupArns"]]
        }

    def describe_target_health(self, **asked: str) -> Any:
        targets = self.targets if asked["TargetGroupArn"] == "arn:Blue" else []
        return {
            "TargetHealthDescriptions": [
                {"Target": {"Id": address, "Port": port}, "TargetHealth": {"State": state}}
                for address, port, state in targets
            ]
        }


def deploy(account: Account, path: str, kind: Any = "Update") -> None:
    request = Request(kind, {"Path": path, "TargetGroups": ["Blue", "Green"]}, None)
    converge(request, stack="shop", cloudformation=account, balancer=account, sleep=lambda _: None)


def test_a_path_that_every_task_answers_may_be_asked_for() -> None:
    with task({"/old": 200, "/new": 200}) as one, task({"/old": 200, "/new": 200}) as other:
        deploy(Account([(*one, "healthy"), (*other, "healthy")]), "/new")


def test_one_task_that_does_not_answer_it_stops_the_deployment() -> None:
    with task({"/old": 200, "/new": 200}) as new, task({"/old": 200}) as old, pytest.raises(NotAnswered) as refused:
        deploy(Account([(*new, "healthy"), (*old, "healthy")]), "/new")
    assert f"1 of 2 running tasks do not answer /new with 200: 127.0.0.1:{old[1]} answers 404" in str(refused.value)
    assert "First release an image that answers the old and the new path" in str(refused.value)


@pytest.mark.parametrize("status", [204, 301, 503])
def test_only_200_counts_as_for_the_load_balancer(status: int) -> None:
    with task({"/old": 200, "/new": status}) as one, pytest.raises(NotAnswered):
        deploy(Account([(*one, "healthy")]), "/new")


def test_tasks_without_users_are_not_requested() -> None:
    """Another path may be the repair."""
    with task({}) as one:
        deploy(Account([(*one, "unhealthy"), (*one, "draining"), (*one, "initial")]), "/new")


def test_an_unchanged_path_is_not_requested() -> None:
    """Otherwise the rollback of a deployment that was refused here could fail, too."""
    with task({}) as one:
        deploy(Account([(*one, "healthy")]), "/old")


@pytest.mark.parametrize("account", [Account([], exists=False), Account([])], ids=["no stack yet", "no task yet"])
def test_a_first_deployment_requests_no_task(account: Account) -> None:
    deploy(account, "/new", "Create")


def test_a_stack_can_always_be_deleted() -> None:
    with task({}) as one:
        deploy(Account([(*one, "healthy")]), "/new", "Delete")
