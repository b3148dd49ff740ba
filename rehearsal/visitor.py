"""A client on the internet: requests through the simulated Cloudflare, to S3, and to the load balancer's port."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from infra_runtime.contract.cloudflare_phases import LATE_TRANSFORM, REDIRECT
from ops.amplify import DeployedAmplifySite
from rehearsal.account import Account
from simulators.cloudflare import worker
from simulators.cloudflare.cache_rules import cache_settings
from simulators.cloudflare.edge_cache import EdgeCache

# From a network that is reserved for documentation, so that no rule names it.
_ADDRESS = "203.0.113.7"
_TARGET = re.compile(r'concat\("(https://[^"/]+)", http\.request\.uri\.path\)')
# What Cloudflare says when the origin does not accept the connection.
_ORIGIN_IS_DOWN = 521


@dataclass
class SimulatedVisitor:
    """Sends requests through Cloud Connector and Workers as the simulated zone declares them."""

    account: Account
    _cache: EdgeCache = field(init=False)
    _workers_cache: EdgeCache = field(init=False)
    """Neither cache rules nor purges of the zone reach it (cloudflare-docs, workers/cache)."""

    def __post_init__(self) -> None:
        self._cache, self._workers_cache = EdgeCache(self.account.zone.purged), EdgeCache([])

    def get(self, url: str) -> httpx.Response:
        return self.ask("GET", url)

    def ask(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, content: bytes = b""
    ) -> httpx.Response:
        """Sends one request. Only services behind the load balancer get `headers` and `content`."""
        parts, environment = urlsplit(url), self.account.environment
        if parts.netloc.endswith(".amazonaws.com"):
            return httpx.get(f"{self.account.emulator.url}{parts.path}", headers={"Host": parts.netloc})
        if target := self._redirect(parts.netloc):
            query = f"?{parts.query}" if parts.query else ""
            return httpx.Response(301, headers={"Location": f"{target}{parts.path}{query}"})
        if parts.netloc == environment.domains.media:
            return self._media(parts.netloc, parts.path, parts.query)
        if (found := by_maintenance(self.account, method, url, headers=headers or {}, content=content)) is not None:
            return found
        for service, each in environment.services.items():
            if each.host == parts.netloc and each.amplify is not None:
                return self._by_amplify(service, parts.netloc)
        address, port = self.account.emulator.load_balancer()
        try:
            return httpx.request(
                method,
                f"http://{address}:{port}{parts.path}",
                params=parts.query,
                headers={**(headers or {}), "Host": parts.netloc},
                content=content,
            )
        except httpx.ConnectError:
            return httpx.Response(_ORIGIN_IS_DOWN)

    def _by_amplify(self, service: str, host: str) -> httpx.Response:
        """Answers as Amplify's CloudFront if the zone's record points to the site's distribution."""
        site = DeployedAmplifySite(self.account.name, self.account.environment, service, self.account)
        domain = site.domain()
        target = domain["subDomains"][0]["dnsRecord"].split()[-1]
        targets = [each["content"] for each in self.account.zone.records.values() if each["name"] == host]
        if domain["domainStatus"] != "AVAILABLE" or target not in targets:
            return httpx.Response(_ORIGIN_IS_DOWN)
        return httpx.Response(200 if any(each["status"] == "SUCCEED" for each in site.builds()) else 404)

    def _redirect(self, host: str) -> str | None:
        """Target of the zone's redirect for the host. Knows one form of target: another host, same path."""
        for rule in self.account.zone.rulesets.get(REDIRECT, {"rules": []})["rules"]:
            value = (rule.get("action_parameters") or {}).get("from_value", {})
            target = _TARGET.fullmatch(value.get("target_url", {}).get("expression", ""))
            if f'"{host}"' in rule["expression"] and target and value["preserve_query_string"]:
                return target[1]
        return None

    def connects(self, host: str, port: int) -> bool:
        """Whether the load balancer's security groups allow the connection."""
        elb, ec2 = self.account.client("elbv2"), self.account.client("ec2")
        (balancer,) = [each for each in elb.describe_load_balancers()["LoadBalancers"] if each["DNSName"] == host]
        groups = ec2.describe_security_groups(GroupIds=balancer["SecurityGroups"])["SecurityGroups"]
        return any(
            rule.get("FromPort", 0) <= port <= rule.get("ToPort", 65535) and self._admits_visitor(rule)
            for group in groups
            for rule in group["IpPermissions"]
        )

    def _admits_visitor(self, rule: Mapping[str, Any]) -> bool:
        ec2 = self.account.client("ec2")
        ranges = [each["CidrIp"] for each in rule.get("IpRanges", [])]
        for each in rule.get("PrefixListIds", []):
            pages = ec2.get_paginator("get_managed_prefix_list_entries").paginate(PrefixListId=each["PrefixListId"])
            ranges += [entry["Cidr"] for page in pages for entry in page["Entries"]]
        return any(ip_address(_ADDRESS) in ip_network(each) for each in ranges)

    def _media(self, host: str, path: str, query: str) -> httpx.Response:
        pattern = f"{host}/*"
        route = next((each for each in self.account.zone.routes.values() if each["pattern"] == pattern), None)
        if route is None:
            settings = cache_settings(self.account.zone, host, path)
            return self._cache.answer(settings, f"{host}{path}", query, lambda: self._by_connector(host, path))
        script = self.account.cloudflare.world.scripts[route["script"]]
        # The Worker's own cache headers are not read here.
        seconds = int(worker.bindings_of(script)["EDGE_SECONDS"])
        errors = {"status_code_range": {"from": 400, "to": 599}, "value": -1}
        settings = {"cache": True, "edge_ttl": {"default": seconds, "status_code_ttl": [errors]}}
        return self._workers_cache.answer(settings, f"{host}{path}", query, lambda: self._by_worker(script, path))

    def _by_worker(self, script: Mapping[str, Any], path: str) -> httpx.Response:
        bucket = f"https://{worker.bindings_of(script)['BUCKET_HOST']}"
        with worker.deployed(script, upstreams={bucket: self.account.emulator.url}) as url:
            return httpx.get(f"{url}{path}")

    def _by_connector(self, host: str, path: str) -> httpx.Response:
        """Applies the bucket's policy to the user agent that the zone sets and an address of Cloudflare."""
        rules = self.account.zone.rulesets.get(LATE_TRANSFORM, {"rules": []})["rules"]
        sent = [
            each["action_parameters"]["headers"]["User-Agent"]["value"] for each in rules if host in each["expression"]
        ]
        s3, bucket = self.account.client("s3"), self.account.environment.media.bucket
        policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        address = ip_address(self.account.cloudflare.world.ipv4[0].partition("/")[0])
        for statement in [each for each in policy["Statement"] if each["Effect"] == "Allow"]:
            agents = statement["Condition"]["StringEquals"]["aws:UserAgent"]
            known = any(address in ip_network(each) for each in statement["Condition"]["IpAddress"]["aws:SourceIp"])
            if known and set(sent) & set(agents if isinstance(agents, list) else [agents]):
                try:
                    found = s3.get_object(Bucket=bucket, Key=unquote(path).removeprefix("/"))
                except s3.exceptions.NoSuchKey:
                    break  # Without permission to list the bucket, S3 answers 403 for a missing object.
                return httpx.Response(200, headers={"Content-Type": found["ContentType"]}, content=found["Body"].read())
        return httpx.Response(403)


def by_maintenance(
    account: Account, method: str, url: str, *, headers: Mapping[str, str], content: bytes
) -> httpx.Response | None:
    """Answer of the Worker of `infra maintenance`; None if it has no route."""
    parts = urlsplit(url)
    host, target = parts.netloc, f"{parts.path}?{parts.query}" if parts.query else parts.path
    name = worker.script_at(account.zone, host, target)
    if name is None or not name.endswith("-maintenance"):
        return None
    address, port = account.emulator.load_balancer()
    upstreams = {f"https://{host}": f"http://{address}:{port}"}
    with worker.deployed(account.cloudflare.world.scripts[name], upstreams=upstreams) as before:
        return httpx.request(method, f"{before}{target}", headers={**headers, "x-site": host}, content=content)
