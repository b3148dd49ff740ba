"""Benchmark of the Cloudflare provider: number and rate of its requests, its loading time and size."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudflare
import httpx

from config import load
from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.api import BASE_URL, Api, new_pace
from infra_runtime.cloudflare.converge import converge
from infra_runtime.cloudflare.provider import subject
from infra_runtime.contract.cloudflare_phases import CACHE
from infra_runtime.contract.secret_values import Secrets
from infra_runtime.vendor_api import Clock
from ops.edge.synthesized import text_of
from rehearsal.account import TOKEN, cloudflare_for
from rehearsal.state_store import InMemoryStateStore
from simulators.cloudflare.server import in_process
from simulators.cloudflare.simulator import CloudflareSimulator

ROOT = Path(__file__).resolve().parent.parent
_LOADING = """
import pathlib, time
started = time.perf_counter()
{code}
took = time.perf_counter() - started
# Not getrusage: its peak is inherited from the parent process.
peak = next(line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(took, int(peak.split()[1]) / 1024)
"""
_PROVIDER = "import infra_runtime.cloudflare.provider"
# The same with the vendor's SDK: its client, and the resources that we use, which it loads on first access.
_SDK = """import boto3
import cloudflare
client = cloudflare.Cloudflare(api_token="x")
for name in ("rulesets", "dns", "zones", "bot_management", "cloud_connector", "alerting", "origin_tls_client_auth"):
    getattr(client, name)"""


class _Counted:
    """API clients with a simulated clock."""

    def __init__(self, simulator: CloudflareSimulator) -> None:
        self.seconds = 0.0
        self._simulator = simulator

    def api(self) -> Api:
        clock = Clock(lambda: self.seconds, self._sleep)
        client: httpx.Client = in_process(self._simulator)
        return Api(token=TOKEN, deadline=1e9, base_url=BASE_URL, clock=clock, http=client, pace=new_pace(clock))

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds


def requests(assembly: Path) -> dict[str, Any]:
    """Requests of production's edge stack: of its first deployment, of a second one, and after one changed rule."""
    simulator = cloudflare_for(load(["production"])["production"])
    counted, store, found = _Counted(simulator), InMemoryStateStore(), {}
    documents = list(_declarations(assembly))
    for what in ("first deployment", "again, nothing changed", "one rule changed"):
        if what == "one rule changed":
            (cache,) = [each for each in documents if each["name"] == CACHE]
            cache["rules"][0]["action_parameters"]["edge_ttl"]["default"] = 7200
            documents = [cache]
        before = len(simulator.calls)
        api = counted.api()
        for document in documents:
            zone = zones.find(api, document["zone"])
            converge(api, subject(document, api=api, zone=zone, store=store), present=True)
        calls = simulator.calls[before:]
        found[what] = {"requests": len(calls), "writes": sum(each.is_write for each in calls)}
    if simulator.violations:
        sys.exit("\n".join(simulator.violations))
    return found


def pace() -> dict[str, float]:
    """Requests a second over ten minutes of load, and the most in any five minutes, by a simulated clock."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    pace, times = new_pace(Clock(lambda: now[0], sleep)), []
    while now[0] < 600:
        pace.take()
        times.append(now[0])
    most = max(sum(start <= each < start + 300 for each in times) for start in range(0, 300, 10))
    return {"sustained, a second (at most 4)": len([t for t in times if t >= 300]) / 300, "most in five minutes": most}


def loading() -> dict[str, dict[str, float]]:
    """Seconds and MiB of a new interpreter that imports the provider, and of one that imports the vendor's SDK."""
    found = {}
    for name, code in {"provider": _PROVIDER, "vendor's SDK, for comparison": _SDK}.items():
        done = subprocess.run(
            [sys.executable, "-c", _LOADING.format(code=code)], capture_output=True, text=True, check=True, cwd=ROOT
        )
        seconds, mebibytes = map(float, done.stdout.split())
        found[name] = {"seconds": seconds, "MiB": mebibytes}
    return found


def size() -> dict[str, float]:
    """MiB of the sources and of the layer as they are unpacked in Lambda, and of the vendor's SDK alone."""
    folders = {
        "our sources": ROOT / "runtime" / "infra_runtime",
        "layer": ROOT / ".venv" / "lambda",
        "vendor's SDK, for comparison": Path(cloudflare.__file__).parent,
    }
    return {name: _mebibytes(folder) for name, folder in folders.items()}


def _mebibytes(folder: Path) -> float:
    # Without bytecode, which is not in the bundle.
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file() and each.suffix != ".pyc") / 2**20


def _declarations(assembly: Path) -> Iterator[dict[str, Any]]:
    (template,) = (assembly / "assembly-production").glob("productionEdge*.template.json")
    for each in json.loads(template.read_text())["Resources"].values():
        if each["Type"] == "Custom::Cloudflare":
            text = text_of(each["Properties"]["Document"], unknown="known-to-aws.example.net")
            yield Secrets(_AnySecret()).resolve(json.loads(text))


class _AnySecret:
    """A Secrets Manager that has a value for every name."""

    def get_secret_value(self, **_: str) -> dict[str, str]:
        return {"SecretString": "a-secret"}


def measure(assembly: Path) -> dict[str, Any]:
    return {"requests": requests(assembly), "pace": pace(), "loading": loading(), "size in MiB": size()}
