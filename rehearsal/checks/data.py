"""Checks of the database and the media bucket."""

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx

from config import previews
from infra_runtime.contract.revision import APP, MIGRATE, MIGRATION_LABEL
from infra_runtime.database.connection import Connection, Login, connect
from infra_runtime.release.preflight import deployments
from ops import functions
from rehearsal.account import Account
from rehearsal.checks.assertions import not_on_this_plan, require
from rehearsal.checks.load import unnoticed
from rehearsal.checks.releases import first_release
from rehearsal.traffic import traffic

_DEPLOYED_SECONDS = 60.0


def database(account: Account) -> str:
    found = instance_of(account)
    wanted = account.environment.database
    require(found["Engine"] == "postgres", f"engine {found['Engine']}")
    require(found["MultiAZ"] == wanted.multi_az, f"MultiAZ is {found['MultiAZ']}")
    require(found["StorageEncrypted"], "storage is not encrypted")
    require(not found["PubliclyAccessible"], "publicly accessible")
    require(found["MaxAllocatedStorage"] == wanted.max_storage_gib, f"grows to {found['MaxAllocatedStorage']}")
    multi = "Multi-AZ" if wanted.multi_az else "one zone, as chosen"
    return f"PostgreSQL {found['EngineVersion']}, {multi}, encrypted, to {wanted.max_storage_gib} GiB"


def instance_of(account: Account) -> dict[str, Any]:
    """The database, as RDS describes it."""
    identity = account.resource("Data", "AWS::RDS::DBInstance")
    found: dict[str, Any] = account.client("rds").describe_db_instances(DBInstanceIdentifier=identity)["DBInstances"][0]
    return found


def backups(account: Account) -> str:
    days = instance_of(account)["BackupRetentionPeriod"]
    require(days == account.environment.database.pitr_days, f"{days} days")
    return f"daily backups and log archive, {days} days back"


def database_tls(account: Account) -> str:
    group = instance_of(account)["DBParameterGroups"][0]["DBParameterGroupName"]
    pages = account.client("rds").get_paginator("describe_db_parameters").paginate(DBParameterGroupName=group)
    found = {each["ParameterName"]: each.get("ParameterValue") for page in pages for each in page["Parameters"]}
    require(found.get("rds.force_ssl") == "1", f"rds.force_ssl is {found.get('rds.force_ssl')}")
    return "rds.force_ssl = 1"


def database_password(account: Account) -> str:
    secret = instance_of(account).get("MasterUserSecret")
    require(isinstance(secret, dict) and secret.get("SecretArn"), "no managed secret")
    assert isinstance(secret, dict)
    value = account.client("secretsmanager").get_secret_value(SecretId=secret["SecretArn"])["SecretString"]
    require(set(json.loads(value)) >= {"username", "password"}, "the secret has other keys")
    return "kept and rotated by RDS, in Secrets Manager"


def rotation(account: Account) -> str:
    """Secrets Manager's four steps on the secret that the API's tasks read; their login stays valid."""
    first_release(account)
    with unnoticed(account, "/") as users:
        found = _rotated(account)
    return f"{found}; none of {users.requests} requests failed"


def _rotated(account: Account) -> str:
    secret, trusted = api_secret(account)
    before, version = login_of(account, secret), str(uuid.uuid4())
    deployed = len(_deployments(account))
    schedule = account.client("secretsmanager").describe_secret(SecretId=secret)
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        event = {"SecretId": secret, "ClientRequestToken": version, "Step": step}
        functions.ask(account, schedule["RotationLambdaARN"], event, what=step)
        for login in (before, login_of(account, secret)):
            with connect(login, trusted) as connection:
                connection.execute("select 1")
    after = login_of(account, secret)
    require(after.username != before.username and after.password != before.password, "nothing has changed")
    _restarted(account, deployed)
    return f"four steps, {before.username} → {after.username}, both valid throughout; the API's tasks were replaced"


def api_secret(account: Account) -> tuple[str, dict[str, str]]:
    """ARN of the secret with the API's login, and the variables of the API's tasks."""
    container = account.container(account.service(account.main))
    variables = {each["name"]: each["value"] for each in container["environment"]}
    reference = next(each["valueFrom"] for each in container["secrets"] if each["name"] == "PGPASSWORD")
    trusted = {**variables, "SSL_CERT_FILE": str(account.cdk.workspace / "authority" / "ca.pem")}
    return ":".join(reference.split(":")[:7]), trusted


@contextmanager
def connected(account: Account, task_definition: str) -> Iterator[Connection]:
    """Connects to the database with the login of this task definition."""
    found = account.client("ecs").describe_task_definition(taskDefinition=task_definition)["taskDefinition"]
    (container,) = [each for each in found["containerDefinitions"] if each["name"] in (APP, MIGRATE)]
    variables = {each["name"]: each["value"] for each in container["environment"]}
    arn = next(each["valueFrom"] for each in container["secrets"] if each["name"] == "PGUSER")
    authority = str(account.cdk.workspace / "authority" / "ca.pem")
    with connect(
        login_of(account, ":".join(arn.split(":")[:7])), {**variables, "SSL_CERT_FILE": authority}
    ) as connection:
        yield connection


def connected_as_owner(account: Account) -> AbstractContextManager[Connection]:
    """Connects with the login of the main service's migrations."""
    labels = account.container(account.service(account.main))["dockerLabels"]
    return connected(account, labels[MIGRATION_LABEL])


def login_of(account: Account, secret: str) -> Login:
    return Login.of(account.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])


def _deployments(account: Account) -> Sequence[Mapping[str, Any]]:
    """Deployments of the main service, the newest first."""
    found = deployments(account.client("ecs"), account.service(account.main))
    return sorted(found, key=lambda each: each["createdAt"], reverse=True)


def _restarted(account: Account, before: int) -> None:
    """Secrets Manager's own event replaces the tasks, without a call and in an account without CloudTrail."""
    give_up = time.monotonic() + _DEPLOYED_SECONDS
    while True:
        found = _deployments(account)
        newest = found[0]["status"] if len(found) > before else "never begun"
        if newest == "SUCCESSFUL":
            return
        require(newest in ("never begun", "PENDING", "IN_PROGRESS") and time.monotonic() < give_up, newest)
        time.sleep(0.2)


def database_protection(account: Account) -> str:
    is_protected = bool(instance_of(account)["DeletionProtection"])
    is_kept = account.environment.protection.data == "keep"
    require(is_protected == is_kept, f"deletion protection is {is_protected}")
    return "deletion protection on" if is_protected else "disposable, as the environment says"


def media(account: Account) -> str:
    s3, bucket = account.client("s3"), account.environment.media.bucket
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    require(all(block.values()) and len(block) == 4, f"Block Public Access: {block}")
    require(s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled", "not versioned")
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    denies = [
        each
        for each in policy["Statement"]
        if each["Effect"] == "Deny" and each.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport") == "false"
    ]
    require(denies, "plain HTTP is not denied")
    return f"{bucket}: private (4 of 4), versioned, TLS only"


def uploads(account: Account) -> str:
    """Uploads as browsers do: a preflight request, then a POST with a signed policy."""
    s3, bucket = account.client("s3"), account.environment.media.bucket
    sites = previews.site_hosts(account.environment)
    if not sites:
        not_on_this_plan("the environment has no site")
    url = f"{account.cdk.endpoint}/{bucket}"
    for origin, is_ours in (("https://elsewhere.example", False), *((f"https://{site}", True) for site in sites)):
        asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = httpx.options(url, headers=asks)
        allowed = answer.headers.get("access-control-allow-origin")
        require((answer.status_code == 200, allowed == origin) == (is_ours, is_ours), f"{origin}: {answer.status_code}")
    kind = {"Content-Type": "image/avif"}
    signed = s3.generate_presigned_post(
        bucket, "rehearsed/upload.avif", Fields=kind, Conditions=[kind, ["content-length-range", 1, 1000]]
    )
    for size, type_, expected in ((1000, "image/avif", 204), (1001, "image/avif", 400), (10, "text/html", 403)):
        fields = {**signed["fields"], "Content-Type": type_}
        sent = httpx.post(url, data=fields, files={"file": b"a" * size}, headers={"Origin": f"https://{sites[0]}"})
        require(sent.status_code == expected, f"{size} bytes of {type_}: {sent.status_code} {sent.text}")
    s3.delete_object(Bucket=bucket, Key="rehearsed/upload.avif")
    return f"from {len(sites)} sites and no other; a larger file or another type than signed for is refused"


def media_lifecycle(account: Account) -> str:
    found = account.client("s3").get_bucket_lifecycle_configuration(Bucket=account.environment.media.bucket)["Rules"]
    require([rule["Status"] for rule in found] == ["Enabled"], f"{len(found)} rules")
    require("Days" not in found[0].get("Expiration", {}), "it expires objects that are in use")
    return f"old versions after {found[0]['NoncurrentVersionExpiration']['NoncurrentDays']} days"


def media_is_written(account: Account) -> str:
    """The API itself writes and reads an object, as its task role."""
    first_release(account)
    answer = traffic(account).ask("/media")
    require(set(answer.values()) == {"ok"}, f"{answer}")
    return f"the API: {', '.join(answer)}"
