"""Fields of Cloudflare's objects, as answers recorded from its API have them.

Distilled from the 25 recordings of cf-terraforming's tests (github.com/cloudflare/cf-terraforming, testdata, 2021 to
2025). Each field with its JSON types; `null` stands for a field that may be empty.
"""

from collections.abc import Mapping
from typing import Any

SHAPES: Mapping[str, Mapping[str, str]] = {
    "association": {
        "cert_id": "string",
        "cert_status": "string",
        "cert_updated_at": "string",
        "cert_uploaded_on": "string",
        "certificate": "string",
        "created_at": "string",
        "enabled": "boolean",
        "expires_on": "string",
        "hostname": "string",
        "issuer": "string",
        "serial_number": "string",
        "signature": "string",
        "status": "string",
        "updated_at": "string",
    },
    "bots": {
        "ai_bots_protection": "string",
        "enable_js": "boolean",
        "is_robots_txt_managed": "boolean",
        "optimize_wordpress": "boolean",
        "sbfm_definitely_automated": "string",
        "sbfm_likely_automated": "string",
        "sbfm_static_resource_protection": "boolean",
        "sbfm_verified_bots": "string",
        "suppress_session_score": "boolean",
        "using_latest_model": "boolean",
    },
    "certificate": {
        "certificate": "string",
        "expires_on": "string",
        "id": "string",
        "issuer": "string",
        "serial_number": "string",
        "signature": "string",
        "status": "string",
        "uploaded_on": "string",
    },
    "policy": {
        "alert_type": "string",
        "conditions": "object",
        "created": "string",
        "description": "string",
        "enabled": "boolean",
        "filters": "object",
        "id": "string",
        "mechanisms": "object",
        "modified": "string",
        "name": "string",
    },
    "ratelimit": {
        "characteristics": "list",
        "mitigation_expression": "string",
        "mitigation_timeout": "number",
        "period": "number",
        "requests_per_period": "number",
        "requests_to_origin": "boolean",
    },
    "record": {
        "comment": "null string",
        "content": "string",
        "created_on": "string",
        "data": "object",
        "id": "string",
        "locked": "boolean",
        "meta": "object",
        "modified_on": "string",
        "name": "string",
        "priority": "number",
        "proxiable": "boolean",
        "proxied": "boolean",
        "settings": "object",
        "tags": "list",
        "ttl": "number",
        "type": "string",
        "zone_id": "string",
        "zone_name": "string",
    },
    "rule": {
        "action": "string",
        "action_parameters": "object",
        "description": "string",
        "enabled": "boolean",
        "expression": "string",
        "id": "string",
        "last_updated": "string",
        "logging": "object",
        "ratelimit": "object",
        "ref": "string",
        "version": "string",
    },
    "ruleset": {
        "description": "string",
        "id": "string",
        "kind": "string",
        "last_updated": "string",
        "name": "string",
        "phase": "string",
        "rules": "list",
        "source": "string",
        "version": "string",
    },
    "setting": {
        "certificate_status": "string",
        "editable": "boolean",
        "id": "string",
        "modified_on": "null string",
        "validation_errors": "list",
        "value": "list number object string",
    },
    "zone": {
        "activated_on": "string",
        "created_on": "string",
        "development_mode": "number",
        "id": "string",
        "modified_on": "string",
        "name": "string",
        "name_servers": "list",
        "original_dnshost": "null",
        "original_name_servers": "list",
        "original_registrar": "string",
        "paused": "boolean",
        "plan": "object",
        "status": "string",
        "type": "string",
        "account": "object",
    },
}
_TYPES = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    type(None): "null",
    list: "list",
    dict: "object",
}


def strangers(kind: str, shown: Mapping[str, Any]) -> list[str]:
    """Fields of an object that no recorded object of its kind has, or has with another type."""
    known = SHAPES[kind]
    return [
        f"{kind}.{name}: {_TYPES[type(value)]}"
        for name, value in shown.items()
        if _TYPES[type(value)] not in known.get(name, "").split()
    ]
