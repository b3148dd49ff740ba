"""`infra secret`: what the environment's file names can be looked at and changed, and no value is ever shown."""

import io
import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from config import load
from config.model import Environment
from ops import __main__ as infra
from ops.console import Console
from ops.doctor.secrets import secrets as doctor
from ops.errors import InputError, OperatorError
from ops.secrets.commands import SecretPlace, chosen, piped, put, show

VALUE = "hunter2-and-more"
CHANGED = datetime(2026, 11, 26, 5, tzinfo=UTC)


class Manager:
    """In-memory Secrets Manager. `values` has the stored values; None is a secret without a value."""

    def __init__(self, **values: str | None) -> None:
        self.values: dict[str, str | None] = {f"daadaar/{name}": value for name, value in values.items()}
        self.tags: dict[str, dict[str, str]] = {}
        self.denied: set[str] = set()
        self.deleted: set[str] = set()

    def client(self, service: str) -> "Manager":
        assert service == "secretsmanager"
        return self

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:  # noqa: N803
        if SecretId not in self.values:
            raise self._error("ResourceNotFoundException", "DescribeSecret")
        return {"LastChangedDate": CHANGED} | ({"DeletedDate": CHANGED} if SecretId in self.deleted else {})

    def get_secret_value(self, *, SecretId: str) -> dict[str, Any]:  # noqa: N803
        if SecretId in self.denied:
            raise self._error("AccessDeniedException", "GetSecretValue")
        if SecretId in self.deleted:
            raise self._error("InvalidRequestException", "GetSecretValue")
        # Without a value it is not found, either (boto3 #2794).
        if (value := self.values.get(SecretId)) is None:
            raise self._error("ResourceNotFoundException", "GetSecretValue")
        return {"SecretString": value}

    def put_secret_value(self, *, SecretId: str, SecretString: str) -> None:  # noqa: N803
        assert SecretId in self.values
        if SecretId in self.deleted:
            raise self._error("InvalidRequestException", "PutSecretValue")
        self.values[SecretId] = SecretString

    def create_secret(self, *, Name: str, SecretString: str, Tags: list[dict[str, str]]) -> None:  # noqa: N803
        assert Name not in self.values
        self.values[Name], self.tags[Name] = SecretString, {each["Key"]: each["Value"] for each in Tags}

    @staticmethod
    def _error(code: str, operation: str) -> ClientError:
        return ClientError({"Error": {"Code": code, "Message": code}}, operation)


@pytest.fixture
def environment() -> Environment:
    """The API reads two fields of one secret and the whole of another; the worker runs the API's image."""
    found = load(["dev"])["dev"]
    names = {"JWT_SECRET": "daadaar/app:jwt", "MAIL_KEY": "daadaar/app:mail", "LICENCE": "daadaar/licence"}
    api = found.services["api"].model_copy(update={"secrets": names})
    worker = api.model_copy(update={"runs": "api", "host": None, "secrets": {}})
    return found.model_copy(update={"services": {**found.services, "api": api, "worker": worker}})


def stored(environment: Environment, manager: Manager, name: str, value: str = VALUE) -> None:
    put(SecretPlace("dev", environment, manager), chosen(environment, name), value, Console())


def test_one_field_is_changed_and_the_others_are_kept(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    manager = Manager(app='{"jwt": "old", "mail": "key", "other": [1]}')
    stored(environment, manager, "daadaar/app:jwt")
    assert json.loads(manager.values["daadaar/app"] or "") == {"jwt": VALUE, "mail": "key", "other": [1]}
    printed = capsys.readouterr().out
    assert "daadaar/app:jwt: has a new value" in printed
    assert "new tasks of api, worker take over" in printed
    assert VALUE not in printed


def test_a_secret_that_is_not_there_is_created_with_the_tags_of_the_environment(environment: Environment) -> None:
    manager = Manager()
    stored(environment, manager, "daadaar/licence")
    stored(environment, manager, "daadaar/app:jwt")
    assert manager.values == {"daadaar/licence": VALUE, "daadaar/app": json.dumps({"jwt": VALUE})}
    tags = {"product": "daadaar", "environment": "dev"}
    assert manager.tags == {"daadaar/licence": tags, "daadaar/app": tags}


def test_a_secret_without_a_value_gets_its_first(environment: Environment) -> None:
    manager = Manager(app=None)
    stored(environment, manager, "daadaar/app:jwt")
    assert manager.values == {"daadaar/app": json.dumps({"jwt": VALUE})}


@pytest.mark.parametrize("name", ["daadaar/licence", "daadaar/app:jwt"])
def test_a_secret_that_is_scheduled_for_deletion_is_restored_first(name: str, environment: Environment) -> None:
    manager = Manager(licence="old", app='{"jwt": "old"}')
    manager.deleted = set(manager.values)
    with pytest.raises(OperatorError, match="restore-secret --secret-id daadaar/"):
        stored(environment, manager, name)


def test_doctor_and_list_say_the_same_of_each_state(environment: Environment) -> None:
    """A secret that waits for its deletion answers with an error of its own (API Reference, "GetSecretValue")."""
    manager = Manager(app='{"jwt": "x"}', licence="old")
    manager.deleted, manager.denied = {"daadaar/licence"}, {"daadaar/cloudflare-token"}
    manager.values["daadaar/cloudflare-token"] = "x"
    listed = Console(file=io.StringIO(), record=True, width=200)
    show(SecretPlace("dev", environment, manager), listed, as_json=True)
    states = {each["key"]: each["state"] for each in json.loads(listed.export_text())}
    found = {(each.where, each.what): each.stops for each in doctor(environment, manager)}
    assert found == {
        ("secret daadaar/cloudflare-token", "was not checked: these credentials may not read it"): False,
        ("secret daadaar/app", "is not JSON with mail"): True,
        ("secret daadaar/licence", "is scheduled for deletion"): True,
    }
    assert states == {
        "cloudflare.token_secret": "present; these credentials may not check whether its value can be used",
        "services.api.secrets.JWT_SECRET": "present",
        "services.api.secrets.MAIL_KEY": "is not JSON with mail",
        "services.api.secrets.LICENCE": "is scheduled for deletion",
    } | {key: each for key, each in states.items() if ".worker." in key}


@pytest.mark.parametrize("present", ["plain-secret-text", '["plain-secret-text"]', ""])
def test_a_value_that_is_no_json_object_is_not_overwritten_by_a_field(present: str, environment: Environment) -> None:
    manager = Manager(app=present)
    with pytest.raises(OperatorError, match="its present value is no JSON object") as refused:
        stored(environment, manager, "daadaar/app:jwt")
    assert manager.values == {"daadaar/app": present}
    assert "plain-secret-text" not in str(refused.value)
    assert refused.value.__context__ is None or "plain-secret-text" not in repr(refused.value.__context__)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("daadaar/app", VALUE, "is not JSON with jwt"),
        ("daadaar/licence", "", "is empty"),
        ("daadaar/app:jwt", "", "is empty"),
        ("daadaar/cloudflare-token", f"{VALUE} with spaces", "is no token"),
        ("daadaar/licence", "x" * 65_537, "longer than 65536 bytes"),
    ],
)
def test_values_that_no_task_could_use_are_not_stored(
    name: str, value: str, why: str, environment: Environment
) -> None:
    manager = Manager()
    with pytest.raises(InputError, match=why) as refused:
        stored(environment, manager, name, value)
    assert not manager.values
    assert VALUE not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("daadaar/licens", "daadaar/licence"),
        ("daadaar/app:jtw", "daadaar/app:jwt"),
        ("daadaar/licence:key", "daadaar/licence"),
        ("cloudflare-token", "daadaar/cloudflare-token"),
    ],
)
def test_a_name_that_the_file_does_not_use_is_refused_with_the_nearest(
    text: str, nearest: str, environment: Environment
) -> None:
    with pytest.raises(InputError, match=f"did you mean {nearest}\\?"):
        chosen(environment, text)


def test_a_wrong_name_ends_with_2_before_anybody_is_asked_for_a_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["infra", "secret", "set", "dev", "daadaar/cloudflare-tokn"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SystemExit) as ended:
        infra.main()
    assert ended.value.code == 2
    assert "did you mean daadaar/cloudflare-token?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "value"), [(b"a b\n", "a b"), (b"a\r\n", "a"), (b"a", "a"), (b"a\n\n", "a\n"), (b"a\r", "a\r")]
)
def test_only_the_newline_at_the_end_is_no_part_of_the_value(given: bytes, value: str) -> None:
    assert piped(io.BytesIO(given)) == value


def test_binary_input_is_refused_without_being_quoted() -> None:
    with pytest.raises(InputError, match="expected text in UTF-8") as refused:
        piped(io.BytesIO(b"hunter\xff"))
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_existing_secrets_are_listed_without_their_values(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    manager = Manager(app=json.dumps({"jwt": VALUE}), **{"cloudflare-token": "secret0123"})
    show(SecretPlace("dev", environment, manager), Console(), as_json=True)
    printed = capsys.readouterr().out
    rows = {each["key"]: (each["secret"], each["state"], each["changed"]) for each in json.loads(printed)}
    when = "2026-11-26T05:00:00+00:00"
    assert rows["services.api.secrets.JWT_SECRET"] == ("daadaar/app:jwt", "present", when)
    assert rows["services.worker.secrets.JWT_SECRET"] == ("daadaar/app:jwt", "present", when)
    assert rows["services.api.secrets.MAIL_KEY"] == ("daadaar/app:mail", "is not JSON with mail", when)
    assert rows["services.api.secrets.LICENCE"] == ("daadaar/licence", "missing", None)
    assert rows["cloudflare.token_secret"] == ("daadaar/cloudflare-token", "present", when)
    show(SecretPlace("dev", environment, manager), Console(width=200), as_json=False)
    printed += capsys.readouterr().out
    assert VALUE not in printed
    assert "secret0123" not in printed


def test_who_may_not_read_a_value_sees_that_the_secret_is_there(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    manager = Manager(licence=VALUE)
    manager.denied.add("daadaar/licence")
    show(SecretPlace("dev", environment, manager), Console(), as_json=True)
    (state,) = {each["state"] for each in json.loads(capsys.readouterr().out) if each["secret"] == "daadaar/licence"}
    assert state.startswith("present; these credentials may not")


def test_a_key_that_signs_keeps_its_value_of_before(environment: Environment) -> None:
    """One write stores both keys, so no task ever has the new one without the old one."""
    api = environment.services["api"]
    names = {**api.secrets, "JWT_SECRET_PREVIOUS": "daadaar/app:jwt_previous"}
    both = environment.model_copy(
        update={"services": {**environment.services, "api": api.model_copy(update={"secrets": names})}}
    )
    manager = Manager(app=json.dumps({"jwt": "old", "mail": "m", "jwt_previous": "older"}))
    place = SecretPlace("dev", both, manager)
    put(place, chosen(both, "daadaar/app:jwt"), VALUE, Console(), keeps_previous=True)
    assert json.loads(manager.values["daadaar/app"] or "") == {"jwt": VALUE, "mail": "m", "jwt_previous": "old"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("daadaar/app:jwt", "nothing reads daadaar/app:jwt_previous"), ("daadaar/licence", "whole secret")],
)
def test_a_value_of_before_that_nothing_would_read_is_not_kept(
    name: str, expected: str, environment: Environment
) -> None:
    manager = Manager(app=json.dumps({"jwt": "old", "mail": "m"}), licence="l")
    with pytest.raises(InputError, match=expected):
        put(SecretPlace("dev", environment, manager), chosen(environment, name), VALUE, Console(), keeps_previous=True)
    assert VALUE not in str(manager.values)
