"""The load balancer's traffic: a real nginx for each, which follows rules, weights and targets.

It speaks plain HTTP; who may speak to the real one is shown elsewhere (rehearsal.checks.edge). Where it listens
stands in the file `balancer.json` of the workspace.
"""

import json
import os
import shutil
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ministack.services import alb

from simulators.aws import BALANCER, LIVE
from simulators.ports import own_address

_PORTS = {443: 8080, 8443: 8081}
_APPLIED_SECONDS = 10.0
# The idle timeout, after which the load balancer answers 504 itself (ELB guide, "HTTP 504: Gateway timeout"). A minute
# by default; visitors of an account that lives are so few that they would not be noticed in a minute.
_IDLE_SECONDS = 5
ACCESS_LOG = "access.log"
_balancers: dict[str, "Balancer"] = {}


class NginxMissing(Exception):
    """There is no nginx on this machine."""

    def __init__(self) -> None:
        super().__init__("nginx is missing: make setup installs it as root (Debian: apt-get install nginx-light)")


def _binary() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        raise NginxMissing
    return found


@dataclass
class Balancer:
    arn: str
    folder: Path
    address: str
    _process: "subprocess.Popen[bytes] | None" = None
    _generation: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def apply(self) -> None:
        """Reloads nginx. Returns when new connections follow the current rules."""
        with self._lock:
            self._generation += 1
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "nginx.conf").write_text(self._configuration())
            if self._process is None:
                self._process = subprocess.Popen(
                    [_binary(), "-p", self.folder, "-c", "nginx.conf", "-e", "error.log"],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            else:
                # SIGHUP: old workers finish their requests.
                self._process.send_signal(1)
            self._wait()

    def _wait(self) -> None:
        give_up = time.monotonic() + _APPLIED_SECONDS
        while time.monotonic() < give_up:
            try:
                with urllib.request.urlopen(f"http://{self.address}:{_PORTS[443]}/__generation", timeout=1) as answer:
                    if answer.read().decode() == str(self._generation):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError(f"nginx did not follow; its log: {self.folder / 'error.log'}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def _configuration(self) -> str:
        upstreams: list[str] = []
        servers: list[str] = []
        for listener in [each for each in alb._listeners.values() if each["LoadBalancerArn"] == self.arn]:
            port = _PORTS[int(listener["Port"])]
            servers.append(
                f"server {{ listen {self.address}:{port} default_server; location = /__generation "
                f"{{ access_log off; return 200 '{self._generation}'; }} location / {{ return 404 'no such host'; }} }}"
            )
            rules = [
                each
                for each in alb._rules.values()
                if each["ListenerArn"] == listener["ListenerArn"] and not each.get("IsDefault")
            ]
            for rule in rules:
                name = f"u{len(upstreams)}"
                targets = _targets(rule)
                hosts = " ".join(_hosts(rule))
                if targets:
                    lines = " ".join(f"server {target} weight={weight} max_fails=0;" for target, weight in targets)
                    upstreams.append(f"upstream {name} {{ {lines} }}")
                answer = f"proxy_pass http://{name};" if targets else "return 503;"
                servers.append(
                    f"server {{ listen {self.address}:{port}; server_name {hosts}; location / {{ {answer} }} }}"
                )
        user = "user root;" if os.getuid() == 0 else ""
        return f"""{user}
daemon off;
worker_processes 1;
pid nginx.pid;
events {{ worker_connections 1024; }}
http {{
  log_format measured '$upstream_addr $status $upstream_status $upstream_header_time';
  access_log {f"{ACCESS_LOG} measured" if os.environ.get(LIVE) else "off"};
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server_names_hash_bucket_size 128;
  proxy_set_header Host $host;
  # A request is sent once: what fails is seen.
  proxy_next_upstream off;
  {f"proxy_read_timeout {_IDLE_SECONDS}s;" if os.environ.get(LIVE) else ""}
  {" ".join(upstreams)}
  {" ".join(servers)}
}}
"""


def _hosts(rule: dict[str, Any]) -> list[str]:
    return [
        value
        for condition in rule["Conditions"]
        if condition["Field"] == "host-header"
        for value in condition.get("Values") or condition.get("HostHeaderConfig", {}).get("Values", [])
    ]


def _targets(rule: dict[str, Any]) -> list[tuple[str, int]]:
    """(address and port, weight) of each target that the rule forwards to."""
    forwards = [action for action in rule["Actions"] if action["Type"] == "forward"]
    groups = [group for action in forwards for group in action.get("ForwardConfig", {}).get("TargetGroups", [])]
    return [
        (f"{target['Id']}:{target['Port']}", group["Weight"])
        for group in groups
        if group["Weight"] > 0
        for target in alb._targets.get(group["TargetGroupArn"], [])
    ]


def all_balancers() -> list[Balancer]:
    return list(_balancers.values())


def follow() -> None:
    """Applies changes of targets or weights. Call it after each."""
    for each in _balancers.values():
        each.apply()


def open_for(arn: str) -> None:
    one = Balancer(arn, Path(os.environ["TMPDIR"]) / f"nginx-{arn.rpartition('/')[2]}", own_address(_PORTS[443]))
    _balancers[arn] = one
    where = {"address": one.address, "port": _PORTS[443]}
    Path(os.environ[BALANCER]).write_text(json.dumps(where))


def close(arn: str) -> None:
    if (one := _balancers.pop(arn, None)) is not None:
        one.stop()
