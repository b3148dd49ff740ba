"""Checks of the edge: objects in the zone, and requests where those prove more."""

import json
import socket
import ssl
import tempfile
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config import services
from config.previews import load_balanced_hosts
from infra_runtime.cloudflare.purge import prefixes
from infra_runtime.contract.cloudflare_phases import (
    CACHE,
    CUSTOM_WAF,
    DDOS,
    LATE_TRANSFORM,
    MANAGED_WAF,
    RATE_LIMIT,
    SUPER_BOT_FIGHT_MODE,
)
from rehearsal.account import Account
from rehearsal.checks import media_worker
from rehearsal.checks.assertions import not_on_this_plan, require, wait_until
from rehearsal.visitor import SimulatedVisitor
from simulators.cloudflare.cache_rules import cache_settings

_DAY = 24 * 3600
_PURGED_SECONDS = 60.0


def rules(account: Account, phase: str) -> dict[str, dict[str, Any]]:
    """The environment's rules of one phase, by name, in order."""
    owner = f"{account.name}."
    found = account.zone.rulesets.get(phase, {"rules": []})["rules"]
    return {
        rule["ref"].removeprefix(owner): rule for rule in found if rule["ref"].startswith(owner) and rule["enabled"]
    }


def _owns_zone(account: Account) -> bool:
    return account.environment.cloudflare.zone is not None


_NOT_THE_OWNER = "another environment decides it for the zone"


def _record(account: Account, host: str) -> dict[str, Any]:
    kinds = ("A", "AAAA", "CNAME")
    found = [each for each in account.zone.records.values() if each["name"] == host and each["type"] in kinds]
    require(len(found) == 1, f"{len(found)} records for {host}")
    return found[0]


def _invoke(account: Account, stack: str, prefix: str, event: object) -> dict[str, Any]:
    """Runs the function whose id has this prefix, as its schedule would. Returns boto3's answer."""
    (name,) = [each for each in account.resources(stack, "AWS::Lambda::Function") if prefix in each]
    answer: dict[str, Any] = account.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
    answer["Payload"] = answer["Payload"].read().decode()
    return answer


def _run(account: Account, stack: str, prefix: str, event: object) -> str:
    answer = _invoke(account, stack, prefix, event)
    require("FunctionError" not in answer, answer["Payload"][:200])
    return str(answer["Payload"])


def names(account: Account) -> str:
    elb = account.client("elbv2")
    arn = account.resource("Platform", "AWS::ElasticLoadBalancingV2::LoadBalancer")
    balancer = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]["DNSName"]
    elsewhere = [account.environment.domains.media]
    balanced = set(load_balanced_hosts(account.environment)) - set(account.environment.domains.redirects)
    elsewhere += [str(each.host) for each in account.environment.services.values() if each.amplify is not None]
    for host in [*balanced, *elsewhere]:
        record = _record(account, host)
        require(record["proxied"], f"{host} shows its origin to everybody")
        require(host in elsewhere or record["content"] == balancer.lower(), f"{host} leads to {record['content']}")
    return f"{', '.join([*sorted(balanced), *elsewhere])}: proxied"


def redirects(account: Account) -> str:
    """Other names of a service lead to its host, and nothing is asked of the load balancer for them."""
    wanted, hosts = account.environment.domains.redirects, services.hosts(account.environment)
    if not wanted:
        not_on_this_plan("domains.redirects names none")
    for host, service in wanted.items():
        require(_record(account, host)["proxied"], f"{host} does not lead through Cloudflare")
        led_to = SimulatedVisitor(account).get(f"https://{host}/a/b?c=d").headers.get("Location")
        require(led_to == f"https://{hosts[service]}/a/b?c=d", f"{host} leads to {led_to}")
    return ", ".join(f"{host} → {hosts[service]}" for host, service in wanted.items())


def certificate(account: Account) -> str:
    """The certificate is issued for the listener's hosts, after ACM found its records in the zone's DNS."""
    arn = account.resource("Platform", "Custom::ValidatedCertificate")
    found = account.client("acm").describe_certificate(CertificateArn=arn)["Certificate"]
    require(found["Status"] == "ISSUED", found["Status"])
    for option in found["DomainValidationOptions"]:
        record = _record(account, option["ResourceRecord"]["Name"].rstrip("."))
        require(not record["proxied"], f"{record['name']} is proxied: ACM would not find it when it renews")
    return f"issued for {', '.join(found['SubjectAlternativeNames'])}; validation records in the zone, not proxied"


def _has_worker(account: Account) -> bool:
    return account.environment.media.origin == "worker"


def media_cache(account: Account) -> str:
    if _has_worker(account):
        return media_worker.cache(account)
    rule = rules(account, CACHE)["media-cache"]
    require(rule["expression"] == f'http.host eq "{account.environment.domains.media}"', rule["expression"])
    settings = rule["action_parameters"]
    require(settings["cache"] is True, "not cached unless the suffix says so")
    edge, browser = settings["edge_ttl"], settings["browser_ttl"]
    require((edge["mode"], edge["default"]) == ("override_origin", 30 * _DAY), f"edge {edge}")
    errors = [{"status_code_range": {"from": 400, "to": 599}, "value": -1}]
    require(edge.get("status_code_ttl") == errors, f"the edge keeps errors: {edge}")
    require((browser["mode"], browser["default"]) == ("override_origin", 7 * _DAY), f"browser {browser}")
    tiers = {name: account.zone.settings.get(name) for name in ("tiered_caching", "tiered_cache_smart_topology_enable")}
    require(not _owns_zone(account) or set(tiers.values()) == {"on"}, f"tiers {tiers}")
    return f"{account.environment.domains.media}: 30 days at the edge, 7 days in browsers" + (
        ", one upper tier" if _owns_zone(account) else ""
    )


def media_ttl(account: Account) -> str:
    """The combined result of the cache rules, applied in order."""
    wanted, host = account.environment.media.ttl_seconds, account.environment.domains.media
    if not wanted:
        not_on_this_plan("media.ttl_seconds names no prefix")
    if _has_worker(account):
        media_worker.ttl(account)
    else:
        all_media = rules(account, CACHE)["media-cache"]["action_parameters"]
        for prefix, seconds in wanted.items():
            settings = cache_settings(account.zone, host, f"/{prefix}a.png")
            ttl = {"mode": "override_origin", "default": seconds}
            at_edge = all_media["edge_ttl"] | ttl
            require(settings == all_media | {"edge_ttl": at_edge, "browser_ttl": ttl}, f"{prefix}: {settings}")
    return ", ".join(f"{prefix}*: {seconds} s" for prefix, seconds in wanted.items())


def media_cache_key(account: Account) -> str:
    if _has_worker(account):
        return "the Worker redirects to the path alone"
    key = rules(account, CACHE)["media-cache"]["action_parameters"]["cache_key"]
    require(key.get("custom_key") == {"query_string": {"exclude": "*"}}, f"cache key {key}")
    return "the cache key leaves it out"


def purge(account: Account) -> str:
    """S3's events reach the purge through EventBridge, the queue and the function."""
    s3, bucket, media = account.client("s3"), account.environment.media.bucket, account.environment.domains.media
    kept, gone = "_next/static/rehearsed.js", "rehearsed/purge (1).avif"
    for key in (kept, gone):
        s3.put_object(Bucket=bucket, Key=key, Body=b"a")
    wanted = prefixes(media, gone)
    took = [_purged(account, wanted)]
    account.zone.purged.clear()
    for key in (kept, gone):
        s3.delete_object(Bucket=bucket, Key=key)
    took.append(_purged(account, wanted))
    if services.hosts_with_static_files(account.environment):
        time.sleep(1)  # The other object may be purged later.
        messages = [each for each in account.zone.purged if each.endswith(kept)]
        require(not messages, "static files of the site are purged, whose names change with their content")
    return (
        f"{took[0]:.1f} s after an object was written, {took[1]:.1f} s after it was deleted; in {len(wanted)} spellings"
    )


def _purged(account: Account, prefixes: list[str]) -> float:
    """Waits until all prefixes are purged. Returns the seconds that it took."""
    began = time.monotonic()

    def left() -> list[str]:
        return [each for each in prefixes if each not in account.zone.purged]

    wait_until(lambda: not left(), lambda: f"not purged within a minute: {left()}", seconds=_PURGED_SECONDS)
    return time.monotonic() - began


def _reads(account: Account) -> dict[str, Any]:
    policy = json.loads(account.client("s3").get_bucket_policy(Bucket=account.environment.media.bucket)["Policy"])
    allows = [each for each in policy["Statement"] if each["Effect"] == "Allow"]
    require(len(allows) == 1, f"{len(allows)} statements allow something")
    condition: dict[str, Any] = allows[0]["Condition"]
    return condition


def _sent_user_agent(account: Account) -> str:
    rule = rules(account, LATE_TRANSFORM)["media-user-agent"]
    return str(rule["action_parameters"]["headers"]["User-Agent"]["value"])


def media_origin(account: Account) -> str:
    """The bucket answers only our zone: Cloudflare's addresses, and a secret that only our zone sends."""
    if _has_worker(account):
        return media_worker.origin(account)
    condition = _reads(account)
    agents, ranges = condition["StringEquals"]["aws:UserAgent"], condition["IpAddress"]["aws:SourceIp"]
    require(_sent_user_agent(account) in agents, "the zone sends a user agent that the bucket does not accept")
    require(len(_sent_user_agent(account)) >= 32, "the user agent can be guessed")
    require(set(account.cloudflare.world.ipv4) <= set(ranges), f"{len(ranges)} ranges")
    status = account.client("s3").get_public_access_block(Bucket=account.environment.media.bucket)
    require(all(status["PublicAccessBlockConfiguration"].values()), "Block Public Access is not on")
    ours = [each for each in account.zone.connectors if each["description"] == f"{account.name}.media"]
    host = f"{account.environment.media.bucket}.s3.{account.environment.aws.region}.amazonaws.com"
    require([each["parameters"]["host"] for each in ours] == [host], f"connectors {ours}")
    static = [each for each in account.zone.connectors if each["description"] == f"{account.name}.static"]
    sites = services.sites(account.environment).values()
    if sites:
        require([each["parameters"]["host"] for each in static] == [host], f"connectors {static}")
        expression = static[0]["expression"]
        require(all(str(each.host) in expression for each in sites), expression)
    return f"Cloud Connector; {len(ranges)} IPv4 ranges and a secret User-Agent; Block Public Access 4 of 4"


def waf(account: Account) -> str:
    custom = list(rules(account, CUSTOM_WAF))
    require(custom[:2] == ["scanners", "media-is-read-only"], f"custom rules {custom}")
    limits = list(rules(account, RATE_LIMIT))
    require(limits == list(account.environment.cloudflare.rate_limits), f"rate limits {limits}")
    own = f"{len(custom)} rules of our own, {len(limits)} rate limits"
    settings = account.environment.cloudflare.zone
    if not account.zone.plan.managed_waf:
        not_on_this_plan(f"managed rules begin with plan pro; {own} are as declared")
    if settings is None:
        _require_exception(account)
        not_on_this_plan(f"{_NOT_THE_OWNER}; its OWASP does not see our API; {own} are as declared")
    if settings.owasp is None:
        not_on_this_plan(f"switched off; {own} are as declared")
    managed = rules(account, MANAGED_WAF)
    deployed = [name for name in managed if not name.startswith("except-")]
    require(deployed == ["waf-managed", "waf-owasp"], f"managed rules {list(managed)}")
    owasp = managed["waf-owasp"]["action_parameters"]["overrides"]
    off = sorted(int(each["category"][-1]) for each in owasp.get("categories", []) if not each["enabled"])
    require(off == list(range(settings.owasp.paranoia + 1, 5)), f"paranoia levels that are off: {off}")
    require(owasp["rules"][0]["score_threshold"] == settings.owasp.threshold, f"threshold {owasp['rules']}")
    return f"Cloudflare managed and OWASP (paranoia {settings.owasp.paranoia}); {own}"


def _require_exception(account: Account) -> None:
    """Our exception must come before the OWASP rule of the zone's owner."""
    found = account.zone.rulesets[MANAGED_WAF]["rules"]
    (owasp,) = [at for at, each in enumerate(found) if each["action"] == "execute"]
    hosts = [each["expression"] for each in found[:owasp] if each["ref"] == f"{account.name}.except-api"]
    require(
        hosts and f'"{account.environment.services[account.main].host}"' in hosts[0], f"before OWASP: {found[:owasp]}"
    )


def bots_and_floods(account: Account) -> str:
    if account.environment.cloudflare.zone is None:
        not_on_this_plan(_NOT_THE_OWNER)
    (flood,) = rules(account, DDOS).values()
    level = flood["action_parameters"]["overrides"]["sensitivity_level"]
    require(level == account.environment.cloudflare.zone.ddos_sensitivity, f"sensitivity {level}")
    bots = account.zone.bots
    if not account.zone.plan.super_bot_fight_mode:
        require(not bots["fight_mode"], "Bot Fight Mode challenges the API's programs, and no rule lets them past it")
        return f"floods: {level}"
    require(bots["sbfm_definitely_automated"] == "managed_challenge", f"bots {bots}")
    skip = rules(account, CUSTOM_WAF)["programs"]
    require(skip["action_parameters"] == {"phases": [SUPER_BOT_FIGHT_MODE]}, "programs are challenged at the API")
    require(account.environment.domains.media in skip["expression"], "programs that fetch media are challenged")
    require(skip["logging"] == {"enabled": False}, "each request of a program is a security event")
    return f"Super Bot Fight Mode, not in the API's way; floods: {level}"


def tls(account: Account) -> str:
    if not _owns_zone(account):
        not_on_this_plan(_NOT_THE_OWNER)
    found = account.zone.settings
    require(found["ssl"] == "strict", f"ssl {found['ssl']}")
    require(found["min_tls_version"] == "1.2", f"TLS {found['min_tls_version']}")
    require(found["always_use_https"] == "on", "plain HTTP is served")
    hsts = found["security_header"]["strict_transport_security"]
    require(hsts["enabled"] and hsts["max_age"] >= 31536000, f"HSTS {hsts}")
    return "strict to the origin, 1.2 or newer, HTTPS always, HSTS for a year"


def origin_lock(account: Account) -> str:
    """The listener asks for a certificate of our CA; Cloudflare has one. Both are tried on a real TLS connection."""
    elb = account.client("elbv2")
    arn = account.resource("Platform", "AWS::ElasticLoadBalancingV2::LoadBalancer")
    (production,) = [each for each in elb.describe_listeners(LoadBalancerArn=arn)["Listeners"] if each["Port"] == 443]
    mutual = production["MutualAuthentication"]
    require(mutual["Mode"] == "verify", f"mutual TLS is {mutual['Mode']}")
    authority = _authority(account)
    hosts = [str(each.host) for each in services.load_balanced(account.environment).values()]
    for host in hosts:
        association = account.zone.associations.get(host) or {}
        require(association.get("enabled"), f"Cloudflare shows no certificate for {host}")
        shown = account.zone.client_certificates[association["cert_id"]]
        require(_handshake(authority, shown), f"the certificate that Cloudflare shows for {host} is refused")
    require(not _handshake(authority, None), "a connection without a certificate is let in")
    return f"mutual TLS for {', '.join(hosts)}: with Cloudflare's certificate let in, without it refused"


def _authority(account: Account) -> str:
    (bucket,) = [each for each in account.resources("Platform", "AWS::S3::Bucket") if "trust" in each.lower()]
    body = account.client("s3").get_object(Bucket=bucket, Key="ca.pem")["Body"]
    return str(body.read().decode())


def _handshake(authority: str, shown: dict[str, Any] | None) -> bool:
    """Whether a server that requires certificates of this CA accepts the client's."""
    from infra_runtime.authority import ClientCertificateAuthority

    own = ClientCertificateAuthority.create("localhost", now=datetime.now(UTC))
    with tempfile.TemporaryDirectory() as folder:

        def file(name: str, *parts: str) -> str:
            path = Path(folder) / name
            path.write_text("\n".join(parts))
            return str(path)

        content = json.loads(own.dump())
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(file("server.pem", content["certificate"], content["private_key"]))
        server.load_verify_locations(cadata=authority)
        server.verify_mode = ssl.CERT_REQUIRED
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        if shown is not None:
            client.load_cert_chain(file("client.pem", shown["certificate"], shown["private_key"]))
        here, there = socket.socketpair()
        accepted: list[bool] = []

        def accept() -> None:
            try:
                with server.wrap_socket(there, server_side=True) as secured:
                    accepted.append(secured.recv(2) == b"hi")
            except (ssl.SSLError, OSError):
                there.close()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            with client.wrap_socket(here) as secured:
                secured.sendall(b"hi")
        except (ssl.SSLError, OSError):
            here.close()
        thread.join(timeout=10)
        return accepted == [True]


def user_agent_rotation(account: Account) -> str:
    """Runs Secrets Manager's four steps. After each, the bucket accepts the secret that the zone sends."""
    secret = _media_secret(account)
    if _has_worker(account):
        return media_worker.rotation(account, secret)
    before, version = _sent_user_agent(account), str(uuid.uuid4())
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        event = {"SecretId": secret, "ClientRequestToken": version, "Step": step}
        _run(account, "Edge", "UserAgentRotation", event)
        accepted = _reads(account)["StringEquals"]["aws:UserAgent"]
        accepted = [accepted] if isinstance(accepted, str) else accepted
        require(_sent_user_agent(account) in accepted, f"media is refused after {step}")
    value = account.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    require(_sent_user_agent(account) == value != before, "the zone does not send the new one")
    return "four steps, no moment at which the bucket refuses what the zone sends"


def ranges_follow(account: Account) -> str:
    """Cloudflare publishes another range, then an implausible list."""
    world = account.cloudflare.world
    published, new = list(world.ipv4), "198.51.0.0/16"
    prefix_list = account.resource("Network", "Custom::CloudflareRanges")
    try:
        world.ipv4 = [*published[1:], new]
        _run(account, "Network", "Refresher", {"PrefixList": prefix_list})
        let_in = {"load balancer": _prefixes(account, prefix_list)}
        # A Worker's signature is valid from any address.
        if not _has_worker(account):
            _run_media_access(account)
            let_in["bucket"] = _bucket_ranges(account)
        for door, found in let_in.items():
            require(new in found, f"the {door} turns the new range away")
            require(published[0] in found, f"the {door} has forgotten a range that was used until now")
        world.ipv4 = published[:2]
        answer = _invoke(account, "Network", "Refresher", {"PrefixList": prefix_list})
        require("FunctionError" in answer, f"a list that has shrunk to two ranges was believed: {answer['Payload']}")
        require(_prefixes(account, prefix_list) == let_in["load balancer"], "and it was used")
    finally:
        world.ipv4 = published
    return "a new range is let in at once, an old one stays, a list of two is refused"


def _media_secret(account: Account) -> str:
    (secret,) = [each for each in account.resources("Data", "AWS::SecretsManager::Secret") if "MediaAccess" in each]
    return secret


def _run_media_access(account: Account) -> None:
    event = {"Bucket": account.environment.media.bucket, "Secret": _media_secret(account)}
    _run(account, "Data", "MediaAccess", event)


def _prefixes(account: Account, prefix_list: str) -> set[str]:
    pages = account.client("ec2").get_paginator("get_managed_prefix_list_entries").paginate(PrefixListId=prefix_list)
    return {each["Cidr"] for page in pages for each in page["Entries"]}


def _bucket_ranges(account: Account) -> set[str]:
    return set(_reads(account)["IpAddress"]["aws:SourceIp"])


def drift(account: Account) -> str:
    """A rule of ours is changed by hand, and the drift check reports it."""
    as_declared = json.loads(_run(account, "Edge", "DriftHandler", {}))
    require((as_declared["DriftedRules"], as_declared["MissingRules"]) == (0, 0), f"at first {as_declared}")
    rule = rules(account, CUSTOM_WAF)["media-is-read-only"]
    expression = rule["expression"]
    try:
        rule["expression"] = f"({expression}) and ip.src ne 192.0.2.1"
        found = json.loads(_run(account, "Edge", "DriftHandler", {}))
    finally:
        rule["expression"] = expression
    require(found["DriftedRules"] == 1, f"a rule was changed by hand, and the drift check found {found}")
    return f"one changed rule is found out; {as_declared['ForeignRules']} objects of others are counted, not touched"
