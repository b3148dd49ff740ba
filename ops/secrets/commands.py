"""`infra secret list` and `infra secret set`. No value is ever printed, logged or taken from an argument."""

import difflib
import getpass
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, BinaryIO

from botocore.exceptions import ClientError
from rich.table import Table

from config import services, variables
from config.model import Environment
from ops.console import Console
from ops.doctor.secrets import Required, Unchecked, fault, required, restore
from ops.errors import InputError, OperatorError
from ops.functions import Clients
from ops.progress import working

# A terminal silently cuts a line off there (termios(3), "Canonical mode").
_LONGEST_LINE = 4095
# Maximum of SecretString (Secrets Manager API reference, PutSecretValue).
_MOST_BYTES = 65_536


@dataclass(frozen=True)
class SecretPlace:
    """The secrets of one environment."""

    name: str
    environment: Environment
    clients: Clients


@dataclass(frozen=True)
class Reference:
    """NAME or NAME:FIELD, as the environment's file uses it."""

    name: str
    field: str | None
    required: tuple[Required, ...]
    """Everything in the file that names the secret."""

    def __str__(self) -> str:
        return f"{self.name}:{self.field}" if self.field else self.name


@dataclass(frozen=True)
class SecretRow:
    """One secret that one key of the file names."""

    key: str
    secret: str
    state: str
    """"present", "missing", or what is wrong with it; never any of its value."""
    changed: str | None
    """When anything of the secret was changed last, tags included; ISO 8601."""


def chosen(environment: Environment, text: str) -> Reference:
    """Raises `InputError` when the environment's file does not use it."""
    name, _, field = text.partition(":")
    every = list(required(environment))
    known = {each.name for each in every} | {f"{each.name}:{field}" for each in every for field in each.fields}
    if text not in known:
        (nearest, *_) = difflib.get_close_matches(text, sorted(known), n=1, cutoff=0) or [""]
        hint = f"; did you mean {nearest}?" if nearest else ""
        raise InputError(f"NAME[:FIELD] {text!r}: the environment's file names no such secret{hint}")
    return Reference(name, field or None, tuple(each for each in every if each.name == name))


def typed() -> str:
    """A value from standard input, hidden on a terminal, without its last newline. Raises `InputError`."""
    if not sys.stdin.isatty():
        return piped(sys.stdin.buffer)
    value = getpass.getpass("Value, one line, hidden: ")
    if len(value.encode()) >= _LONGEST_LINE:
        raise InputError(f"a terminal takes no line of more than {_LONGEST_LINE} bytes; pipe the value: … < FILE")
    return value


def piped(stream: BinaryIO) -> str:
    try:
        value = stream.read().decode()
    except UnicodeDecodeError:
        # Without its cause, which quotes the value.
        raise InputError("standard input: expected text in UTF-8") from None
    return value.removesuffix("\r\n" if value.endswith("\r\n") else "\n")


def show(place: SecretPlace, console: Console, *, as_json: bool) -> None:
    with working(f"asking Secrets Manager about {place.name}"):
        found = list(_rows(place.environment, place.clients.client("secretsmanager")))
    if as_json:
        console.print_json(data=[asdict(each) for each in found])
        return
    table = Table("secret", "named by", "state", "last changed")
    for each in found:
        table.add_row(each.secret, each.key, each.state, each.changed or "")
    console.print(table)


def put(place: SecretPlace, to: Reference, value: str, console: Console, *, keeps_previous: bool = False) -> None:
    """Stores a value. With `keeps_previous`, the old one moves to another field, for data that it signed.

    Raises `InputError` when what reads the secret could not use the value.
    """
    previous = _previous(to) if keeps_previous else None
    manager = place.clients.client("secretsmanager")
    described = _described(manager, to.name)
    is_there = described is not None
    if described is not None and "DeletedDate" in described:
        text = f"{to.name} is scheduled for deletion and takes no value until it is restored"
        raise OperatorError(f"{text}: {restore(to.name)}")
    whole = _checked(to, value) if to.field is None else _with_field(manager, to, to.field, value, previous)
    if len(whole.encode()) > _MOST_BYTES:
        raise InputError(f"{to}: the secret would be longer than {_MOST_BYTES} bytes")
    if is_there:
        manager.put_secret_value(SecretId=to.name, SecretString=whole)
    else:
        tags = {"product": place.environment.product, "environment": place.name}
        manager.create_secret(
            Name=to.name, SecretString=whole, Tags=[{"Key": key, "Value": each} for key, each in tags.items()]
        )
    console.print(f"{to}: {'has a new value' if is_there else 'was created'}", highlight=False)
    console.print(_consequence(place.environment, to), highlight=False)


def _rows(environment: Environment, manager: Any) -> Iterator[SecretRow]:
    for each in required(environment):
        described = _described(manager, each.name)
        changed: datetime | None = described.get("LastChangedDate") if described else None
        state = "missing" if described is None else _state(manager, each)
        yield SecretRow(each.key, each.reference, state, changed.isoformat(timespec="seconds") if changed else None)


def _state(manager: Any, needed: Required) -> str:
    try:
        return fault(manager, needed) or "present"
    except Unchecked:
        return "present; these credentials may not check whether its value can be used"


def _described(manager: Any, name: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = manager.describe_secret(SecretId=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return None
    return found


def _checked(to: Reference, value: str) -> str:
    for each in to.required:
        if wrong := each.wrong(value):
            raise InputError(f"{to}: the value {wrong}; {each.key} names it ({each.document})")
    return value


def _previous(to: Reference) -> str:
    """The field for the previous value. Raises `InputError` where nothing reads it."""
    if to.field is None:
        raise InputError(f"--keep-previous: {to} is a whole secret; only a field of one has another field beside it")
    previous = f"{to.field}_previous"
    if previous not in {field for each in to.required for field in each.fields}:
        raise InputError(
            f"--keep-previous: nothing reads {to.name}:{previous}; first name it in the environment's file, let the"
            " application accept what either value has signed, and deploy"
        )
    return previous


def _with_field(manager: Any, to: Reference, field: str, value: str, previous: str | None) -> str:
    """The secret's JSON with this field set, or a new document."""
    if not value:
        raise InputError(f"{to}: the value is empty")
    try:
        present = manager.get_secret_value(SecretId=to.name).get("SecretString", "")
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        present = "{}"
    try:
        document = json.loads(present)
    except ValueError:
        # Without its cause, which holds the whole value.
        document = None
    if not isinstance(document, dict):
        raise OperatorError(
            f"{to.name}: its present value is no JSON object; replace it: infra secret set ENV {to.name}"
        )
    kept = {previous: document[field]} if previous and field in document else {}
    return json.dumps({**document, **kept, field: value}, ensure_ascii=False)


def _consequence(environment: Environment, to: Reference) -> str:
    on_ecs = services.on_ecs(environment)
    reads = sorted(each for each in on_ecs if to.name in variables.named_secrets(environment, each))
    if not reads:
        return "no task is restarted: what uses it reads it at its next run or deployment"
    jobs = sorted(job for job, each in environment.jobs.items() if each.runs in reads)
    also = f"; jobs read it at their next run: {', '.join(jobs)}" if jobs else ""
    return f"new tasks of {', '.join(reads)} take over when no other deployment is under way{also}"
