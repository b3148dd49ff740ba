"""Which changes replace a resource, compared with AWS's documentation of each property and with its specification.

documented_updates.json contains "Update requires" of the CloudFormation User Guide (github.com/awsdocs/
aws-cloudformation-user-guide, the last commit with content, 6c68a17a of September 2023): each property of the types
that our templates have, and 600 drawn from all others. Neither the provider schemas nor the specification come from it.
"""

import json
from pathlib import Path
from typing import Any

from ops.effects import effects, schemas
from ops.effects.specification import document

DOCUMENTED: dict[str, dict[str, list[str]]] = json.loads(
    Path(__file__).with_name("documented_updates.json").read_text()
)
CHANGES = [
    (type_, name, behaviour)
    for type_, behaviours in DOCUMENTED.items()
    for behaviour, names in behaviours.items()
    for name in names
]


def predicted(type_: str, old: Any, new: Any) -> set[str]:
    """Kinds of the effects of a change of properties."""
    before, after = (
        {"stack": {"Resources": {"It": {"Type": type_, "Properties": properties}}}} for properties in (old, new)
    )
    return {each.kind for each in effects(before, after)}


def _pointers(type_: str, name: str) -> list[schemas.Pointer]:
    schema = schemas.schema(type_)
    return [pointer for pointer in (*schema.create_only, *schema.conditional) if pointer[0] == name]


def _value(pointers: list[schemas.Pointer], marker: str) -> Any:
    """A value for the property; if only parts of it are create-only, a value with these parts."""
    if not pointers or any(len(pointer) == 1 for pointer in pointers):
        return marker
    children = {pointer[1] for pointer in pointers}
    made = {child: _value([each[1:] for each in pointers if each[1] == child], marker) for child in children}
    return [made["*"]] if "*" in made else made


def test_no_documented_replacement_is_missed() -> None:
    replacing = [(type_, name) for type_, name, behaviour in CHANGES if behaviour == "Replacement"]
    assert len(replacing) > 400
    missed = [
        f"{type_}.{name}"
        for type_, name in replacing
        if not predicted(type_, *({name: _value(_pointers(type_, name), each)} for each in ("1", "2")))
        & {"replaced", "may-be-replaced", "refused"}
    ]
    assert missed == []


def test_fewer_than_two_percent_of_harmless_changes_are_called_replacements() -> None:
    harmless = [(type_, name) for type_, name, behaviour in CHANGES if behaviour == "No interruption"]
    assert len(harmless) > 600
    alarms = []
    for type_, name in harmless:
        whole = not [each for each in _pointers(type_, name) if len(each) > 1]
        old, new = ({name: each if whole else {"Else": each}} for each in ("1", "2"))
        if predicted(type_, old, new) & {"replaced", "may-be-replaced"}:
            alarms.append(f"{type_}.{name}")
    assert len(alarms) / len(harmless) < 0.02, alarms


def test_documented_json_is_up_to_date() -> None:
    assert schemas.DOCUMENTED.read_text() == document(), "python -m tools.documented_updates"
