"""One database in the emulated RDS, a real PostgreSQL, for tests of `infra restore` and `infra database`."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest

from config import load
from infra_constructs.database import PARAMETERS
from infra_runtime.contract.database_names import MASTER_DURING_UPGRADES, USER
from infra_runtime.database import instance as lookup
from infra_runtime.database import restore as inside
from infra_runtime.database.connection import Connection, Login, connect
from ops.errors import OperatorError
from ops.restores.instances import Instances
from simulators.aws.conditions import Condition
from simulators.aws.process import emulator
from simulators.redis.authority import Authority

STACK = "daadaar-dev-data"
MASTER = "master-during-upgrades"
DATABASE = {
    "Engine": "postgres",
    "EngineVersion": "17",
    "DBInstanceClass": "db.t4g.small",
    "DBName": "app",
    "AllocatedStorage": "20",
    "MaxAllocatedStorage": "100",
    "StorageType": "gp3",
    "MasterUsername": "postgres",
    "ManageMasterUserPassword": True,
    "AllowMajorVersionUpgrade": False,
    "DBParameterGroupName": {"Ref": "Parameters17"},
    "BackupRetentionPeriod": 7,
    "PreferredBackupWindow": "00:30-01:30",
    "PreferredMaintenanceWindow": "sun:02:00-sun:03:00",
    "MultiAZ": True,
    "CopyTagsToSnapshot": True,
    "DeletionProtection": True,
    "EnableIAMDatabaseAuthentication": True,
    "EnablePerformanceInsights": True,
    "PerformanceInsightsRetentionPeriod": 465,
    "DatabaseInsightsMode": "advanced",
    "EnableCloudwatchLogsExports": ["postgresql", "upgrade"],
    "VPCSecurityGroups": ["sg-database"],
    "Tags": [{"Key": "environment", "Value": "dev"}],
}
TEMPLATE = {
    "Resources": {
        **{
            f"Parameters{version}": {
                "Type": "AWS::RDS::DBParameterGroup",
                "Properties": {"Family": f"postgres{version}", "Description": "ours", "Parameters": PARAMETERS},
            }
            for version in (17, 18)
        },
        "Database": {"Type": "AWS::RDS::DBInstance", "Properties": DATABASE},
    }
}
LOGIN = Login(f"{USER}_a", "what-stands-for-a-password-here")


@dataclass(frozen=True)
class Rehearsed(Instances):
    """Runs the Lambda function `database.restore` in this process."""

    @cached_property
    def variables(self) -> dict[str, str]:
        return {MASTER_DURING_UPGRADES: MASTER}

    def inside(self, instance: str, do: str, **more: Any) -> dict[str, Any]:
        try:
            return dict(inside.handler({"instance": instance, "do": do, **more}, None))
        except Exception as error:
            raise OperatorError(f"{instance}: {do} failed: {error}") from error


class Interrupted(BaseException):
    """Simulates Ctrl-C, or a laptop that goes to sleep."""


@dataclass(frozen=True)
class Interrupting(Rehearsed):
    """Interrupts each step that changes something once, just before or right after its effect."""

    after: bool = True
    done: set[str] = field(default_factory=set)

    def _once(self, step: str, work: Callable[[], Any]) -> Any:
        if step in self.done:
            return work()
        self.done.add(step)
        if self.after:
            work()
        raise Interrupted(step)

    def inside(self, instance: str, do: str, **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._once(
            f"{do} {len(self.replaced())}", lambda: super(Interrupting, self).inside(instance, do, **more)
        )
        return answer

    @cached_property
    def rds(self) -> Any:
        own, once = self.clients.client("rds"), self._once

        class Rds:
            def __getattr__(self, name: str) -> Any:
                call = getattr(own, name)
                if name.startswith(("describe", "list_", "get_", "exceptions")):
                    return call
                return lambda **given: once(f"{name} {sorted(given)}", lambda: call(**given))

        return Rds()


class Clients:
    def __init__(self, url: str) -> None:
        self._url, self._made = url, dict[str, Any]()

    def client(self, service: str) -> Any:
        if service not in self._made:
            self._made[service] = boto3.client(
                service,
                endpoint_url=self._url,
                region_name="eu-central-1",
                aws_access_key_id="111122223333",
                aws_secret_access_key="test",
            )
        return self._made[service]


@contextmanager
def emulated(folder: Path) -> Iterator[Clients]:
    unreachable, authority = "http://127.0.0.1:9", Authority()
    with emulator(
        folder, cloudflare=unreachable, upstash=unreachable, authority=authority, without=[Condition.FREE_PLAN]
    ) as running:
        found = Clients(running.url)
        manager = found.client("secretsmanager")
        secret = manager.create_secret(
            Name="user", SecretString=LOGIN.secret({"PGHOST": "", "PGPORT": "", "PGDATABASE": ""})
        )["ARN"]
        manager.create_secret(Name=MASTER, SecretString='{"username": "postgres", "password": "not in use"}')
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(folder / "authority" / "ca.pem"))
            patch.setenv("PGDATABASE", "app")
            patch.setenv("PARAMETERS", json.dumps(PARAMETERS))
            patch.setenv("LIMITS", '{"lock_ms": 200, "statement_ms": 20000}')
            patch.setenv("LOGINS", json.dumps([secret]))
            patch.setenv(MASTER_DURING_UPGRADES, MASTER)
            for module in (lookup, inside):
                patch.setattr(module, "client", found.client)
            yield found


def deploy(clients: Clients) -> Rehearsed:
    cloudformation = clients.client("cloudformation")
    cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(TEMPLATE))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})
    made = Rehearsed("dev", load(["dev"])["dev"], clients, sleep=lambda seconds: time.sleep(seconds / 100))
    made.inside(made.identifier, "open")
    with as_master(made, made.identifier) as connection:
        connection.execute("set role app_owner")
        connection.execute("create table visitors (id serial primary key, name text)")
    return made


def delete(place: Instances, name: str) -> None:
    place.rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False, ApplyImmediately=True)
    place.settled(name)
    place.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)


@contextmanager
def as_master(place: Instances, name: str) -> Iterator[Connection]:
    with lookup.instance_called(name).connect() as connection:
        yield connection


def login(place: Instances) -> Login:
    return Login.of(place.clients.client("secretsmanager").get_secret_value(SecretId="user")["SecretString"])


def write(place: Instances, name: str) -> None:
    """Writes a row as the application does: by the instance's usual name, with the password of its secret."""
    with connect(login(place), lookup.instance_called(place.identifier).variables) as connection:
        connection.execute("insert into visitors (name) values (%s)", [name])


def rows(place: Instances, name: str) -> set[str]:
    with as_master(place, name) as connection:
        return {each for (each,) in connection.execute("select name from visitors").fetchall()}


def rotate(place: Instances, password: str) -> None:
    manager = place.clients.client("secretsmanager")
    value = json.dumps({"username": LOGIN.username, "password": password})
    manager.put_secret_value(SecretId="user", SecretString=value)
    place.inside(place.identifier, "open")
