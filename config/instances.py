"""Memory and connections of RDS instance classes (AWS guide, "DB instance classes" and "Quotas"; read 2026-11)."""

_GIB = 2**30
_GIB_AT_LARGE = {"t": 8, "m": 8, "r": 16}
_SMALLER_THAN_LARGE = {"micro": 1 / 8, "small": 1 / 4, "medium": 1 / 2, "large": 1.0, "xlarge": 2.0}
# RDS' default: max_connections = DBInstanceClassMemory in bytes / 9531392, at most 5000. That memory is less than the
# class's nominal memory; ten per cent less is a safe assumption.
_BYTES_PER_CONNECTION = 9_531_392
_MOST_CONNECTIONS = 5000
_OF_THE_HOST = 0.1


def memory_gib(instance_class: str) -> float:
    """Nominal memory of a class such as `r8g.2xlarge`, in GiB. Raises `KeyError` for an unknown family."""
    family, _, size = instance_class.partition(".")
    known = _SMALLER_THAN_LARGE
    factor = known[size] if size in known else 2.0 * int(size.removesuffix("xlarge"))
    return _GIB_AT_LARGE[family[0]] * factor


def connections(instance_class: str) -> int:
    """Connections that PostgreSQL accepts on this instance class, estimated conservatively."""
    usable = memory_gib(instance_class) * _GIB * (1 - _OF_THE_HOST)
    return min(int(usable) // _BYTES_PER_CONNECTION, _MOST_CONNECTIONS)
