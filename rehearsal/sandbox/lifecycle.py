"""Deploys a sandbox, keeps it running with simulated visitors and alarms, and ends it."""

import os
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from config import ENVIRONMENTS, Environment, load, services
from infra_runtime.cloudflare.analytics import WINDOW
from infra_runtime.contract.metrics import EDGE, TrafficMetric
from ops.console import Console
from ops.errors import OperatorError
from ops.sandbox import FILE, Sandbox
from rehearsal.account import Account, opened
from rehearsal.cdk_cli import CdkCli
from rehearsal.checks.releases import release
from rehearsal.product import LONE
from rehearsal.progress import Progress
from rehearsal.push import push
from rehearsal.sandbox import edge, page
from rehearsal.sandbox.edge import SandboxEdge
from rehearsal.sandbox.faults import Faults
from rehearsal.sandbox.state import State
from simulators.aws import session_manager
from simulators.aws.deliveries import read
from simulators.cloudflare.analytics import SampledRequest
from simulators.ports import LOOPBACK, free_port, is_free
from simulators.redis.authority import Authority

_PAGE_PORT, _EDGE_PORT = 8800, 8801
MAILBOX = "operator@sandbox.localhost"
_VISITORS = 4
_VISIT_SECONDS = 0.5
# Error budgets use the last hour and day. So CloudWatch starts with a day of requests at a game day's rate, and
# Cloudflare with the last minutes, which are not published yet.
_PER_SECOND = 27
_DAY = timedelta(days=1)
_UNPUBLISHED = timedelta(minutes=20)
# PutMetricData takes at most 1,000 data points.
_BATCH = 1000
_POLL_SECONDS = 2.0
_FIRST_LOOK_SECONDS = 30.0


@contextmanager
def sandbox(name: str, workspace: Path, progress: Progress) -> Iterator[Sandbox]:
    """Runs the sandbox during the block."""
    environment = load([name])[name]
    progress.title(f"sandbox of {name}: account {environment.aws.account}, {environment.aws.region}")
    with ExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor())
        offline = CdkCli(environment.aws.account, environment.aws.region, workspace)
        synthesis = executor.submit(_synthesize, offline, name, workspace / "cdk.out")
        authority, port = Authority(), _port(_EDGE_PORT)
        front = SandboxEdge(authority, workspace / "certificates")
        stack.enter_context(edge.serving(front, port))
        proxy = f"http://{LOOPBACK}:{port}"
        account = stack.enter_context(opened(name, environment, workspace, authority=authority, internet=proxy))
        with progress.step("synthesize and bootstrap"):
            account.prepare()
            assembly = synthesis.result()
            account.cdk.bootstrap(assembly)
        with progress.step("deploy every stack"), progress.stacks(account):
            account.cdk.deploy(assembly, f"{name}/*")
        account.zone.traffic.requests.extend(_last_minutes(environment))
        _publish_day(account, environment)
        front.account = account
        for service in services.released(environment):
            with progress.step(f"release a first version of {service}"):
                release(account, _first_image(account, service), service)
        with progress.step("visitors, metrics and alarms"):
            stack.enter_context(_visitors(environment, port))
            account.emulator.live.touch()
            _wait_for_first_look(account)
            _subscribe(account)
        addresses = {
            service: f"http://{each.host}.localhost:{port}"
            for service, each in environment.services.items()
            if each.host is not None
        } | {"media": f"http://{environment.domains.media}.localhost:{port}"}
        faults = Faults(account)
        stack.callback(faults.repair_before_the_end)
        state, token = State(account, front, faults, addresses), secrets.token_urlsafe(18)
        url = stack.enter_context(page.serving(state, token=token, port=_port(_PAGE_PORT)))
        state.start()
        session_manager.install(workspace / "bin")
        up = Sandbox(name, str(ENVIRONMENTS), url, token, _variables(account, workspace, proxy))
        stack.callback(FILE.unlink, missing_ok=True)
        up.write()
        yield up


def _last_minutes(environment: Environment) -> Iterator[SampledRequest]:
    """Earlier requests at the edge, all successful."""
    now = datetime.now(UTC)
    for number in range(int(_UNPUBLISHED.total_seconds()) * _PER_SECOND):
        for host in services.hosts(environment).values():
            yield SampledRequest(now - timedelta(seconds=number / _PER_SECOND), host, "dynamic")


def _publish_day(account: Account, environment: Environment) -> None:
    """Publishes what the function that copies Cloudflare's analytics would have published in the last day."""
    ends = datetime.now(UTC) - _UNPUBLISHED
    data = [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "Environment", "Value": account.name}, {"Name": "Host", "Value": host}],
            "Timestamp": ends - number * WINDOW,
            "Value": value,
        }
        for number in range(1, _DAY // WINDOW)
        for host in services.hosts(environment).values()
        for name, value in (
            (TrafficMetric.REQUESTS.value, WINDOW.total_seconds() * _PER_SECOND),
            (TrafficMetric.SERVER_ERRORS.value, 0.0),
        )
    ]
    for first in range(0, len(data), _BATCH):
        account.client("cloudwatch").put_metric_data(Namespace=EDGE, MetricData=data[first : first + _BATCH])


def _first_image(account: Account, service: str) -> str:
    """The product's image if the service meets its needs or its command requires Node.js; else a single program."""
    own = account.environment.services[service]
    is_product = own.command is not None or {"database", "redis"} <= set(own.needs)
    return push(account, service, f"first-{service}", program=None if is_product else LONE)


def _port(wanted: int) -> int:
    """The wanted port, or another one if that is in use."""
    return wanted if is_free(wanted) else free_port()


def _synthesize(cdk: CdkCli, name: str, output: Path) -> Path:
    options = ("--context", f"env={name}", "--context", f"environments={ENVIRONMENTS}", "--output", str(output))
    cdk.run("synth", "--quiet", *options, validated=False)
    return output


def _variables(account: Account, workspace: Path, proxy: str) -> dict[str, str]:
    """Environment variables with which `./infra` reaches only the emulators."""
    return {
        **account.cdk.credentials,
        "AWS_ENDPOINT_URL": account.emulator.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "CLOUDFLARE_BASE_URL": account.cloudflare_url,
        "GITHUB_API_URL": account.github_url,
        "HTTPS_PROXY": proxy,
        "SSL_CERT_FILE": str(workspace / "authority" / "ca.pem"),
        "PGSSLROOTCERT": str(workspace / "authority" / "ca.pem"),
        "PATH": f"{workspace / 'bin'}:{os.environ['PATH']}",
    }


@contextmanager
def _visitors(environment: Environment, port: int) -> Iterator[None]:
    over = threading.Event()
    hosts = services.hosts(environment).values()

    def visit() -> None:
        with httpx.Client(base_url=f"http://{LOOPBACK}:{port}", timeout=10, trust_env=False) as http:
            while not over.is_set():
                for host in hosts:
                    try:
                        http.get("/", headers={"Host": host, "User-Agent": "Mozilla/5.0 (a visitor of the sandbox)"})
                    except httpx.HTTPError:
                        continue
                over.wait(_VISIT_SECONDS)

    threads = [threading.Thread(target=visit, daemon=True) for _ in range(_VISITORS)]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        over.set()


def _wait_for_first_look(account: Account) -> None:
    """Waits until each alarm has a state, so that first states of a new account send no notification."""
    give_up = time.monotonic() + _FIRST_LOOK_SECONDS
    while time.monotonic() < give_up:
        pages = account.client("cloudwatch").get_paginator("describe_alarms").paginate(StateValue="INSUFFICIENT_DATA")
        if not any(page["MetricAlarms"] for page in pages):
            return
        time.sleep(0.3)


def _subscribe(account: Account) -> None:
    """A mailbox of the sandbox's own to each topic, besides the environment's recipients; confirmed as by its
    owner, as are those."""
    sns = account.client("sns")
    for topic in account.resources("Platform", "AWS::SNS::Topic"):
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=MAILBOX)
    for each in read(account.emulator.deliveries):
        if each.subject.endswith("Subscription Confirmation"):
            (token,) = parse_qs(urlsplit(each.text).query)["Token"]
            sns.confirm_subscription(TopicArn=each.topic, Token=token)


def follow(up: Sandbox, console: Console) -> None:
    """Prints alarms that change, until the sandbox ends."""
    before: dict[str, str] = {}
    while True:
        time.sleep(_POLL_SECONDS)
        try:
            alarms = up.read("alarms")
        except OperatorError:
            return
        for each in alarms if isinstance(alarms, list) else []:
            known = before.get(each["name"])
            if known is not None and known != each["state"] and "ALARM" in (known, each["state"]):
                runbook = f" → docs/runbooks/{each['runbook']}.md" if each["state"] == "ALARM" else ""
                line = f"{time.strftime('%H:%M:%S')}  {each['state']:5} {each['severity']}: {each['means']}{runbook}"
                console.print(line, markup=False, highlight=False)
            before[each["name"]] = each["state"]
