"""AWS::ElastiCache::ReplicationGroup with a real Redis, TLS and the AUTH token; MiniStack's has no server.

One server for each shard: replicas and failover are records only. CloudFormation hands no tags of the stack on to it,
as some report (cloudformation-coverage-roadmap #1196; of its own tags #2125 and #2009).
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ministack.services import elasticache
from ministack.services.cloudformation import provisioners

from simulators.aws import AUTHORITY
from simulators.aws.resource_type import ResourceRefused, extend
from simulators.ports import own_address
from simulators.redis.authority import Authority
from simulators.redis.server import Server, in_cluster, join

servers: dict[str, list[Server]] = {}


def _start(identity: str, properties: dict[str, Any]) -> None:
    authority = Authority.load(Path(os.environ[AUTHORITY]))
    is_cluster = properties.get("ClusterMode") == "enabled"
    port = int(properties["Port"])
    servers[identity] = []
    for number in range(int(properties.get("NumNodeGroups") or 1)):
        address = own_address(port)
        server = Server(
            Path(os.environ["TMPDIR"]) / f"{identity}-{number}",
            address=address,
            port=port,
            password=properties["AuthToken"],
            certificate=authority.certificate(address),
            options=in_cluster() if is_cluster else (),
        )
        servers[identity].append(server.start())
    if is_cluster:
        join(servers[identity])
    elasticache._replication_groups[identity]["_auth_tokens"] = [properties["AuthToken"]]
    _set_parameters(identity, properties)


def _set_parameters(identity: str, properties: dict[str, Any]) -> None:
    """maxmemory-policy of the parameter group; without one, ElastiCache's own (AWS Knowledge Center, "oom
    command not allowed": volatile-lru). redis-server's would be noeviction."""
    group = elasticache._param_group_params.get(properties.get("CacheParameterGroupName", ""), {})
    for server in servers[identity]:
        with server.client() as client:
            client.config_set("maxmemory-policy", group.get("maxmemory-policy", {}).get("Value", "volatile-lru"))


def _stop(identity: str) -> None:
    for server in servers.pop(identity, []):
        server.kill()


def _tell(identity: str) -> dict[str, Any]:
    """Stores the servers' addresses where MiniStack reads them."""
    group = elasticache._replication_groups[identity]
    its_own = servers[identity]
    for shard, server in zip(group["NodeGroups"], its_own, strict=True):
        for endpoint in ("PrimaryEndpoint", "ReaderEndpoint"):
            shard[endpoint] = {"Address": server.address, "Port": server.port}
    if group.get("ConfigurationEndpoint") or len(its_own) > 1:
        group["ConfigurationEndpoint"] = {"Address": its_own[0].address, "Port": its_own[0].port}
    attributes: dict[str, Any] = provisioners._ec_rg_attrs(identity)
    return attributes


def _update_auth_token(own: Callable[[dict[str, Any], str, str], None]) -> Callable[[dict[str, Any], str, str], None]:
    """Applies ModifyReplicationGroup to the servers; existing connections stay open."""

    def update(group: dict[str, Any], token: str, strategy: str) -> None:
        own(group, token, strategy)
        for server in servers.get(group["ReplicationGroupId"], []):
            with server.client() as client:
                known = [f">{each}" for each in group["_auth_tokens"]]
                client.execute_command("ACL", "SETUSER", "default", "on", "resetpass", *known)
            server.password = token
        group["AuthTokenLastModifiedDate"] = datetime.now(UTC).isoformat()

    return update


def _modify(own: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def modify(request: dict[str, Any]) -> Any:
        group = elasticache._replication_groups.get(elasticache._p(request, "ReplicationGroupId")) or {}
        is_set = elasticache._p(request, "AuthTokenUpdateStrategy") == "SET"
        # "allowed only after ROTATE" (API reference, "ModifyReplicationGroup").
        if is_set and elasticache._p(request, "AuthToken") not in group.get("_auth_tokens", [])[1:]:
            return elasticache._error("InvalidParameterValue", "SET is allowed only after ROTATE with that token", 400)
        return own(request)

    return modify


def _numbers(version: Any) -> list[int]:
    return [int(part) for part in str(version or "").split(".") if part.isdigit()]


def install() -> None:
    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        identity, _ = own["create"](logical_id, properties, stack_name)
        _start(identity, properties)
        return identity, _tell(identity)

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> tuple[str, dict[str, Any]]:
        if _numbers(new.get("EngineVersion")) < _numbers(old.get("EngineVersion")):
            # ElastiCache guide, "Version Management for ElastiCache". Assumed: its words.
            raise ResourceRefused("You can't downgrade to an earlier engine version.")
        identity, _ = own["update"](physical_id, old, new, *rest)
        keys = ("AuthToken", "NumNodeGroups", "Port", "KmsKeyId")
        if identity not in servers or any(old.get(key) != new.get(key) for key in keys):
            _stop(physical_id)
            _start(identity, new)
        _set_parameters(identity, new)
        return identity, _tell(identity)

    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        own["delete"](physical_id, properties)
        _stop(physical_id)

    own_description = elasticache._rg_xml
    elasticache._rg_xml = lambda group: (
        own_description(group)
        + (
            f"<AuthTokenLastModifiedDate>{at}</AuthTokenLastModifiedDate>"
            if (at := group.get("AuthTokenLastModifiedDate"))
            else ""
        )
    )
    elasticache._update_auth_token = _update_auth_token(elasticache._update_auth_token)
    elasticache._modify_replication_group = _modify(elasticache._modify_replication_group)
    own = extend("AWS::ElastiCache::ReplicationGroup", create=create, update=update, delete=delete)
