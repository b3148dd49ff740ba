"""The access key that the media Worker signs with: the first one, its rotation in four steps, and its end.

CloudFormation could not delete the user of an AWS::IAM::AccessKey that was rotated. IAM allows a user two access
keys: the new one works before the Worker gets it, the old one until the next rotation.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import ClientError

from infra_runtime.aws import client
from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import converge
from infra_runtime.cloudflare.credentials import api_from
from infra_runtime.cloudflare.workers import WorkerScript
from infra_runtime.contract.secret_values import Secrets, deadline_of
from infra_runtime.custom_resource import Request, Result, serve
from infra_runtime.reporting import reported
from infra_runtime.secret_rotation import NotInPlace, Rotation
from infra_runtime.state_store import SsmStateStore, StateStore
from infra_runtime.vendor_api import Clock

# IAM is eventually consistent: a new key is refused for some seconds ("IAM troubleshooting"; read 2026-11).
_ATTEMPTS, _WAIT_SECONDS = 20, 3.0


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    """Handles CloudFormation's requests, and single steps of a rotation by Secrets Manager."""
    manager = client("secretsmanager")
    if "RequestType" in event:
        serve(event, lambda request: provide(request, SigningKeyClients(manager, client("iam"), _s3_with)))
        return
    rotation = SigningKey(
        SigningKeyClients(manager, client("iam"), _s3_with),
        api_from(Secrets(manager), os.environ["TOKEN_SECRET"], deadline=deadline_of(context)),
        SsmStateStore(client("ssm"), os.environ["STATE_STORE"]),
        user=os.environ["USER_NAME"],
        bucket=os.environ["BUCKET"],
        worker=os.environ["WORKER"],
        secret=event["SecretId"],
        version=event["ClientRequestToken"],
    )
    rotation.step(event["Step"])


def _s3_with(key: str) -> Any:
    identity, _, secret = key.partition(":")
    return boto3.client("s3", aws_access_key_id=identity, aws_secret_access_key=secret)


@dataclass(frozen=True)
class SigningKeyClients:
    secrets_manager: Any
    iam: Any
    s3_with: Any
    """A client of S3 that signs with "ACCESS_KEY_ID:SECRET_ACCESS_KEY"."""
    clock: Clock = field(default_factory=Clock)


def provide(request: Request, account: SigningKeyClients) -> Result:
    """A key of the user's in the secret; on Delete no key is left, so that the user can go."""
    user, secret = request.properties["User"], request.properties["Secret"]
    if request.kind == "Delete":
        _delete_keys(account.iam, user, but="")
        return Result(str(request.physical_id))
    current = account.secrets_manager.get_secret_value(SecretId=secret)["SecretString"].partition(":")[0]
    if current not in _key_ids(account.iam, user):
        account.secrets_manager.put_secret_value(SecretId=secret, SecretString=_new_key(account.iam, user, but=current))
    return Result(user)


def _key_ids(iam: Any, user: str) -> list[str]:
    # At most two, so one page.
    return [each["AccessKeyId"] for each in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]]


def _delete_keys(iam: Any, user: str, *, but: str) -> None:
    for each in _key_ids(iam, user):
        if each != but:
            iam.delete_access_key(UserName=user, AccessKeyId=each)


def _new_key(iam: Any, user: str, *, but: str) -> str:
    """Deletes every key but one first: the one before it, and those of attempts that failed."""
    _delete_keys(iam, user, but=but)
    made = iam.create_access_key(UserName=user)["AccessKey"]
    return f"{made['AccessKeyId']}:{made['SecretAccessKey']}"


class SigningKey(Rotation):
    """The secret's value is "ACCESS_KEY_ID:SECRET_ACCESS_KEY", as the Worker reads it."""

    def __init__(
        self,
        account: SigningKeyClients,
        api: Api,
        store: StateStore,
        *,
        user: str,
        bucket: str,
        worker: str,
        secret: str,
        version: str,
    ) -> None:
        super().__init__(account.secrets_manager, secret=secret, version=version)
        self._account, self._api, self._store = account, api, store
        self._user, self._bucket, self._worker = user, bucket, worker

    def new_value(self) -> str:
        return _new_key(self._account.iam, self._user, but=self.current().partition(":")[0])

    def set(self, pending: str) -> None:
        """Not before S3 accepts the key: the Worker has no other."""
        self._wait_until_accepted(pending)
        converge(self._api, self._declared(pending), present=True)

    def test(self, pending: str) -> None:
        if left := self._declared(pending).changes(present=True):
            raise NotInPlace(f"the Worker does not sign with it: {left[0].action} {left[0].what}")

    def _wait_until_accepted(self, pending: str) -> None:
        s3 = self._account.s3_with(pending)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                s3.head_bucket(Bucket=self._bucket)
                return
            except ClientError as error:
                if attempt == _ATTEMPTS:
                    raise NotInPlace(f"S3 refuses the new access key: {error}") from None
            self._account.clock.sleep(_WAIT_SECONDS)

    def _declared(self, pending: str) -> WorkerScript:
        """The deployed declaration, with the pending key in the place of the current one."""
        document = self._store.get(f"declared/worker/{self._worker}")
        zone = zones.find(self._api, document["zone"])
        secrets = dict.fromkeys(document["secrets"], pending)
        return WorkerScript(self._api, zone.id, zone.name, zone.account, {**document, "secrets": secrets})
