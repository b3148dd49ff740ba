"""`infra restore table`: one table out of a restored or replaced instance, beside the one that serves.

The copy has another name, so that nothing is overwritten; with SQL you decide which of its rows the product takes.
"""

from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.restores.instances import Described, Instances

# PostgreSQL cuts longer names (its documentation, "Identifiers and Key Words").
_LONGEST_NAME = 63


def copy(place: Instances, table: str, schema: str, instance: str, console: Console) -> None:
    """May be repeated; continues where it was interrupted. Raises `InputError` and `OperatorError`."""
    source = _source(place, instance)
    if place.next() is not None:
        raise OperatorError(
            f"another instance is about to serve: infra restore point {place.name} --to latest, or infra restore back"
            f" {place.name}, then copy"
        )
    if place.called(place.identifier) is None:
        raise OperatorError(f"no instance is called {place.identifier}; infra restore list {place.name}")
    suffix = f"_{place.short(source).replace('-', '_')}"
    new = table.encode()[: _LONGEST_NAME - len(suffix)].decode(errors="ignore") + suffix
    given = {"from": instance, "schema": schema, "table": table, "as": new}
    while True:
        copied = place.inside(place.identifier, "copy", **given)
        if not copied:
            raise OperatorError(
                f"the functions of {place.name} are older than this command: make deploy ENV={place.name}"
            )
        if copied["done"] >= copied["of"]:
            break
        console.print(f"{copied['done'] / copied['of']:.0%} of {schema}.{table} is copied", highlight=False)
    for each in copied["lacking"]:
        console.print(f"Not copied: {each}")
    before, after = (_digest(place, *which) for which in ((instance, schema, table), (place.identifier, schema, new)))
    if before != after:
        raise OperatorError(
            f"{schema}.{new} has {after[0]} rows with digest {after[1]}, {schema}.{table} in {instance} has {before[0]}"
            f" with {before[1]}. Is an application writing to one of them? Drop the copy and try again"
        )
    console.print(
        f"{schema}.{new}: {after[0]} rows, with the same digest as {schema}.{table} in {instance}", highlight=False
    )
    console.print("Not copied: foreign keys, triggers, policies, comments. Next: docs/runbooks/database-table.md")


def _source(place: Instances, instance: str) -> Described:
    known = [*place.restored(), *place.replaced()]
    for each in known:
        if each["DBInstanceIdentifier"] == instance:
            if each["DBInstanceStatus"] != "available":
                raise OperatorError(f"{instance} is {each['DBInstanceStatus']}; wait until it is available")
            return each
    names = ", ".join(each["DBInstanceIdentifier"] for each in known) or "none"
    raise InputError(
        f"--from {instance!r}: expected a restored or replaced instance ({names}). One to copy from is made by: infra"
        f" restore point {place.name} --to TIME --check"
    )


def _digest(place: Instances, instance: str, schema: str, table: str) -> tuple[int, int]:
    """Rows, and the sum of their hashes."""
    rows, total, block = 0, 0, 0
    while block is not None:
        digested = place.inside(instance, "digest", schema=schema, table=table, block=block)
        rows, total, block = rows + digested["rows"], total + int(digested["digest"]), digested["next"]
    return rows, total
