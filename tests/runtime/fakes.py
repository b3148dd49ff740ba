"""AWS services in memory: as much of them as our functions ask for, with state."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from simulators.aws.amplify import AmplifyError, AmplifyHosting

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class _Pages:
    def __init__(self, *pages: dict[str, Any]) -> None:
        self._pages = pages

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        yield from self._pages


class Ec2:
    """EC2's managed prefix lists: a change takes two reads, entries come in pages of two."""

    def __init__(self) -> None:
        self.lists: dict[str, dict[str, Any]] = {}
        self.cidrs: set[str] = set()
        """Entries of all prefix lists; there is only one."""
        self.writes = 0
        self.fails: str | None = None
        """The reason why EC2 fails to carry out the next change."""
        self._looks = 0

    def create_managed_prefix_list(self, **made: Any) -> dict[str, Any]:
        name = f"pl-{len(self.lists) + 1}"
        self.lists[name] = {**made, "PrefixListId": name, "Version": 1}
        self._begin(name, "create")
        return {"PrefixList": self.lists[name]}

    def get_paginator(self, operation: str) -> Any:
        if operation == "describe_managed_prefix_lists":
            return _Pages({"PrefixLists": list(self.lists.values())})
        listed = sorted(self.cidrs)
        pages = [{"Entries": [{"Cidr": each} for each in listed[at : at + 2]]} for at in range(0, len(listed), 2)]
        return _Pages(*pages)

    def describe_managed_prefix_lists(self, *, PrefixListIds: list[str]) -> dict[str, Any]:  # noqa: N803
        (name,) = PrefixListIds
        found = self.lists[name]
        before, self._looks = dict(found), self._looks + 1
        if self._looks == 2:
            found["State"] = found["State"].replace("in-progress", "failed" if self.fails else "complete")
            found["StateMessage"] = self.fails
        return {"PrefixLists": [before]}

    def modify_managed_prefix_list(
        self,
        *,
        PrefixListId: str,  # noqa: N803
        CurrentVersion: int | None = None,  # noqa: N803
        AddEntries: list[dict[str, str]] | None = None,  # noqa: N803
        RemoveEntries: list[dict[str, str]] | None = None,  # noqa: N803
        MaxEntries: int | None = None,  # noqa: N803
    ) -> None:
        found = self.lists[PrefixListId]
        assert not found["State"].endswith("in-progress"), "IncorrectState"
        if MaxEntries is not None:
            assert AddEntries is None and RemoveEntries is None, "InvalidParameterCombination"
            found["MaxEntries"] = MaxEntries
        else:
            assert CurrentVersion == found["Version"], "PrefixListVersionMismatch"
            self.cidrs |= {each["Cidr"] for each in AddEntries or []}
            self.cidrs -= {each["Cidr"] for each in RemoveEntries or []}
            found["Version"] += 1
        self.writes += 1
        self._begin(PrefixListId, "modify")

    def delete_managed_prefix_list(self, *, PrefixListId: str) -> None:  # noqa: N803
        if self.lists.pop(PrefixListId, None) is None:
            raise ClientError({"Error": {"Code": "InvalidPrefixListID.NotFound", "Message": ""}}, "Delete")

    def _begin(self, name: str, change: str) -> None:
        self.lists[name]["State"] = f"{change}-in-progress"
        self._looks = 0


class S3:
    """Buckets with a policy and objects."""

    def __init__(self, *buckets: str) -> None:
        self.policies: dict[str, str | None] = dict.fromkeys(buckets)
        self.objects: dict[tuple[str, str], bytes] = {}
        self.policy_writes = 0
        self.cors: dict[str, list[dict[str, Any]]] = {}
        self.notifications: dict[str, dict[str, Any]] = {}
        self.metrics: dict[str, str | None] = {}
        """Prefix of each request metric, by id."""

    def _check(self, bucket: str) -> None:
        if bucket not in self.policies:
            raise ClientError({"Error": {"Code": "NoSuchBucket", "Message": bucket}}, "S3")

    def get_bucket_policy(self, Bucket: str) -> dict[str, str]:  # noqa: N803
        self._check(Bucket)
        if (policy := self.policies[Bucket]) is None:
            raise ClientError({"Error": {"Code": "NoSuchBucketPolicy", "Message": ""}}, "GetBucketPolicy")
        return {"Policy": policy}

    def put_bucket_policy(self, Bucket: str, Policy: str) -> None:  # noqa: N803
        self._check(Bucket)
        self.policies[Bucket], self.policy_writes = Policy, self.policy_writes + 1

    def get_bucket_cors(self, Bucket: str) -> dict[str, Any]:  # noqa: N803
        self._check(Bucket)
        if Bucket not in self.cors:
            raise ClientError({"Error": {"Code": "NoSuchCORSConfiguration", "Message": ""}}, "GetBucketCors")
        return {"CORSRules": self.cors[Bucket]}

    def put_bucket_cors(self, Bucket: str, CORSConfiguration: dict[str, Any]) -> None:  # noqa: N803
        self.cors[Bucket] = CORSConfiguration["CORSRules"]

    def delete_bucket_cors(self, Bucket: str) -> None:  # noqa: N803
        del self.cors[Bucket]

    def put_bucket_metrics_configuration(self, Bucket: str, Id: str, MetricsConfiguration: dict[str, Any]) -> None:  # noqa: N803
        self._check(Bucket)
        assert MetricsConfiguration["Id"] == Id
        self.metrics[Id] = MetricsConfiguration.get("Filter", {}).get("Prefix")

    def get_bucket_notification_configuration(self, Bucket: str) -> dict[str, Any]:  # noqa: N803
        return {"ResponseMetadata": {}, **self.notifications.get(Bucket, {})}

    def put_bucket_notification_configuration(
        self,
        Bucket: str,  # noqa: N803
        NotificationConfiguration: dict[str, Any],  # noqa: N803
    ) -> None:
        self.notifications[Bucket] = NotificationConfiguration

    def statements(self, bucket: str) -> dict[str, dict[str, Any]]:
        return {each["Sid"]: each for each in json.loads(self.policies[bucket] or '{"Statement": []}')["Statement"]}

    def put_object(self, Bucket: str, Key: str, Body: bytes, **_: Any) -> None:  # noqa: N803
        self.objects[Bucket, Key] = Body

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        return {"Body": io.BytesIO(self.objects[Bucket, Key])}

    def list_objects_v2(self, Bucket: str, Prefix: str, MaxKeys: int) -> dict[str, Any]:  # noqa: N803
        found = [{"Key": key} for bucket, key in self.objects if bucket == Bucket and key.startswith(Prefix)]
        return {"Contents": found[:MaxKeys]} if found else {}

    def get_paginator(self, _: str) -> _Pages:
        return _Pages(
            {"Versions": [{"Key": key, "VersionId": "1"} for _, key in self.objects]},
            {"DeleteMarkers": [{"Key": "gone.avif", "VersionId": "2"}]},
        )

    def delete_objects(self, Bucket: str, Delete: dict[str, Any]) -> None:  # noqa: N803
        for each in Delete["Objects"]:
            self.objects.pop((Bucket, each["Key"]), None)


class Rds:
    """Instances by name, each with the secret of its master login."""

    def __init__(self, **secrets: str) -> None:
        self.secrets = secrets

    def describe_db_instances(self, *, DBInstanceIdentifier: str) -> dict[str, Any]:  # noqa: N803
        return {"DBInstances": [{"MasterUserSecret": {"SecretArn": self.secrets[DBInstanceIdentifier]}}]}


class SecretsManager:
    """One secret with versions and stages; `others` only exist."""

    class exceptions:  # noqa: N801  (boto3's name)
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self, value: str, *, created: datetime = NOW - timedelta(days=30)) -> None:
        self.values: dict[str, str | None] = {"first": value}
        self.stages = {"AWSCURRENT": "first"}
        self.created = {"first": created}
        self.now = NOW
        self.others: dict[str, str] = {}

    def list_secret_version_ids(self, SecretId: str) -> dict[str, Any]:  # noqa: N803
        versions = [
            {
                "VersionId": version,
                "VersionStages": [stage for stage, holder in self.stages.items() if holder == version],
                "CreatedDate": self.created[version],
            }
            for version in self.values
        ]
        return {"Versions": [each for each in versions if each["VersionStages"]]}

    def describe_secret(self, SecretId: str) -> dict[str, Any]:  # noqa: N803
        staged = self.list_secret_version_ids(SecretId)["Versions"]
        return {"VersionIdsToStages": {each["VersionId"]: each["VersionStages"] for each in staged}}

    def get_secret_value(
        self,
        SecretId: str,  # noqa: N803
        VersionStage: str = "AWSCURRENT",  # noqa: N803
        VersionId: str | None = None,  # noqa: N803
    ) -> dict[str, str]:
        if SecretId in self.others:
            return {"SecretString": self.others[SecretId]}
        holder = self.stages.get(VersionStage)
        if holder is None or (VersionId is not None and holder != VersionId):
            raise self.exceptions.ResourceNotFoundException(VersionStage)
        if (value := self.values[holder]) is None:
            raise self.exceptions.ResourceNotFoundException(f"no value: {holder}")
        return {"SecretString": value}

    def begin(self, version: str, value: str | None = None) -> None:
        """Creates a pending version, as Secrets Manager does before a rotation's first step and a schedule's trial."""
        self.values[version], self.created[version] = value, self.now
        self.stages["AWSPENDING"] = version

    def put_secret_value(
        self,
        *,
        SecretId: str,  # noqa: N803
        SecretString: str,  # noqa: N803
        ClientRequestToken: str = "next",  # noqa: N803
        VersionStages: tuple[str, ...] = ("AWSCURRENT",),  # noqa: N803
    ) -> None:
        if SecretId in self.others:
            self.others[SecretId] = SecretString
            return
        self.values[ClientRequestToken], self.created[ClientRequestToken] = SecretString, self.now
        for stage in VersionStages:
            self.stages[stage] = ClientRequestToken

    def get_random_password(self, **_: Any) -> dict[str, str]:
        return {"RandomPassword": f"password-{len(self.values)}"}

    def update_secret_version_stage(
        self,
        *,
        SecretId: str,  # noqa: N803
        VersionStage: str,  # noqa: N803
        MoveToVersionId: str,  # noqa: N803
        RemoveFromVersionId: str,  # noqa: N803
    ) -> None:
        assert self.stages[VersionStage] == RemoveFromVersionId
        self.stages |= {VersionStage: MoveToVersionId, "AWSPREVIOUS": RemoveFromVersionId}
        if self.stages.get("AWSPENDING") == MoveToVersionId:
            del self.stages["AWSPENDING"]


@dataclass
class Paginator:
    """A paginator whose lists have one page."""

    call: Callable[..., Any]

    def paginate(self, **request: Any) -> list[Any]:
        return [self.call(**request)]


class AmplifyClient:
    """The simulator of Amplify with boto3's interface."""

    class exceptions:  # noqa: N801
        class NotFoundException(Exception):
            pass

        class BadRequestException(Exception):
            pass

    def __init__(self, simulator: AmplifyHosting) -> None:
        self._simulator = simulator

    def get_paginator(self, operation: str) -> Paginator:
        return Paginator(getattr(self, operation))

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> Any:
            try:
                return getattr(self._simulator, operation)(**request)
            except AmplifyError as error:
                raise getattr(self.exceptions, error.code)(str(error)) from None

        return call


class Acm:
    """Certificates that are issued when `published` says that their records are found."""

    class exceptions:  # noqa: N801
        class ResourceNotFoundException(Exception):
            pass

        class ResourceInUseException(Exception):
            pass

    def __init__(self, published: Any) -> None:
        self._published = published
        self.certificates: dict[str, dict[str, Any]] = {}
        self.in_use: list[str] = []
        self.refused = False
        self._tokens: dict[str, str] = {}

    def request_certificate(
        self,
        *,
        DomainName: str,  # noqa: N803
        SubjectAlternativeNames: tuple[str, ...] = (),  # noqa: N803
        IdempotencyToken: str,  # noqa: N803
        **_: Any,
    ) -> dict[str, str]:
        if (arn := self._tokens.get(IdempotencyToken)) in self.certificates:
            return {"CertificateArn": str(arn)}
        arn = self._tokens[IdempotencyToken] = f"arn:{len(self._tokens) + 1}"
        names = [DomainName, *SubjectAlternativeNames]
        self.certificates[arn] = {
            "DomainName": DomainName,
            "SubjectAlternativeNames": names,
            "Status": "PENDING_VALIDATION",
            "DomainValidationOptions": [
                {
                    "DomainName": each,
                    "ResourceRecord": {"Name": f"_v.{each}.", "Type": "CNAME", "Value": f"_{each}.aws."},
                }
                for each in names
            ],
        }
        return {"CertificateArn": arn}

    def describe_certificate(self, CertificateArn: str) -> dict[str, Any]:  # noqa: N803
        found = self.certificates[CertificateArn]
        if found["Status"] != "PENDING_VALIDATION":
            return {"Certificate": found}
        if self.refused:
            found |= {"Status": "FAILED", "FailureReason": "CAA_ERROR"}
        elif all(
            self._published(each["ResourceRecord"]["Name"].rstrip(".")) for each in found["DomainValidationOptions"]
        ):
            found["Status"] = "ISSUED"
        return {"Certificate": found}

    def get_paginator(self, _: str) -> _Pages:
        return _Pages({"CertificateSummaryList": [{"CertificateArn": arn} for arn in self.certificates]})

    def delete_certificate(self, CertificateArn: str) -> None:  # noqa: N803
        if self.in_use:
            self.in_use.pop()
            raise self.exceptions.ResourceInUseException
        if self.certificates.pop(CertificateArn, None) is None:
            raise self.exceptions.ResourceNotFoundException
