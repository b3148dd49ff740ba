"""AWS::RDS::DBParameterGroup: MiniStack takes every name and every value. RDS knows the parameters of each family.

Recorded: names and `AllowedValues` of DescribeDBParameters for PostgreSQL 12 and 13, published on GitHub
(utrains/rds_migration and others). Reported: that postgres18 refuses `log_connections = 1` (three repositories in
2026), and the words for an unknown name (terraform-provider-aws #522).
"""

import re
from typing import Any

from ministack.services import rds

_INTEGERS = re.compile(r"(-?\d+)-(\d+)")
_REFUSAL = "Invalid parameter value: {value} for: {name} allowed values are: {allowed}"
_ANY_LIBRARIES = ""
# What one family takes; RDS has more parameters. One that we add is looked up first.
_ALLOWED = {
    "idle_in_transaction_session_timeout": "0-2147483647",
    "log_autovacuum_min_duration": "-1-2147483647",
    "log_connections": "0,1",
    "log_disconnections": "0,1",
    "log_lock_waits": "0,1",
    "log_min_duration_statement": "-1-2147483647",
    "log_temp_files": "-1-2147483647",
    "rds.force_ssl": "0,1",
    "rds.logical_replication": "0,1",
    "shared_preload_libraries": _ANY_LIBRARIES,
    "track_commit_timestamp": "0,1",
    "track_io_timing": "0,1",
}
_OF_FAMILY = {
    "postgres18": {"log_connections": "receipt, authentication, authorization, setup_durations, all"},
}


def refused(family: str, name: str, value: str) -> str | None:
    """RDS's error about the value of a parameter, or None."""
    allowed = {**_ALLOWED, **_OF_FAMILY.get(family, {})}.get(name)
    if allowed is None:
        return f"Could not find parameter with name: {name}"
    if limits := _INTEGERS.fullmatch(allowed):
        least, most = (int(each) for each in limits.groups())
        is_fine = re.fullmatch(r"-?\d+", value) is not None and least <= int(value) <= most
    else:
        words = {each.strip() for each in allowed.split(",")}
        is_fine = allowed == _ANY_LIBRARIES or {each.strip() for each in value.split(",")} <= words
    return None if is_fine else _REFUSAL.format(value=value, name=name, allowed=allowed)


def install() -> None:
    own = rds._apply_parameter_group_changes

    def apply(group: str, changes: list[tuple[str, str | None, str]], **options: Any) -> Any:
        family = rds._param_groups[group]["DBParameterGroupFamily"]
        for name, value, _ in changes:
            if value is not None and (error := refused(family, name, value)):
                return rds._error("InvalidParameterValue", error, 400)
        return own(group, changes, **options)

    rds._apply_parameter_group_changes = apply
