"""The bucket's policy: ours by id, others' left alone, and at no moment without what the zone sends."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from infra_runtime.cloudflare_ranges import KEY
from infra_runtime.custom_resource import Request
from infra_runtime.media_access import Access, Quarantine, SecretKeepsChanging, accepted_user_agents, converge, provide
from infra_runtime.rotate_user_agent import UserAgent
from infra_runtime.secret_rotation import NotInPlace
from rehearsal.state_store import InMemoryStateStore
from tests.runtime.conftest import Edge
from tests.runtime.fakes import NOW, S3, SecretsManager

THEIRS = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*"}
READS = "InfraCloudflareReads"


def access(s3: S3, secrets: SecretsManager, ranges: tuple[str, ...] = ("104.16.0.0/13",)) -> Access:
    return Access(s3, secrets, InMemoryStateStore({KEY: dict.fromkeys(ranges, NOW.isoformat())}), NOW)


def properties(**more: str) -> dict[str, str]:
    return {"Bucket": "media", "Secret": "ua", "Disposable": "false", "Sites": '["daadaar.com"]', **more}


def test_readers_need_an_address_of_cloudflares_and_the_secret() -> None:
    s3, secrets = S3("media"), SecretsManager("agent-1")
    provide(Request("Create", properties(), None), access(s3, secrets))
    assert s3.statements("media")[READS]["Condition"] == {
        "IpAddress": {"aws:SourceIp": ["104.16.0.0/13"]},
        "StringEquals": {"aws:UserAgent": ["agent-1"]},
    }
    assert {"InfraDenyPlainHttp", "InfraDenyOldTls"} < set(s3.statements("media"))
    provide(Request("Update", properties(), "media"), access(s3, secrets))
    assert s3.policy_writes == 1


def test_no_one_may_read_before_the_ranges_are_known() -> None:
    s3 = S3("media")
    converge("media", "ua", access(s3, SecretsManager("agent-1"), ranges=()))
    assert READS not in s3.statements("media")


def test_statements_of_others_stay_and_ours_go_on_delete() -> None:
    s3, secrets = S3("media"), SecretsManager("agent-1")
    s3.policies["media"] = json.dumps({"Statement": [THEIRS]})
    converge("media", "ua", access(s3, secrets))
    assert s3.statements("media")["Theirs"] == THEIRS
    provide(Request("Delete", properties(), "media"), access(s3, secrets))
    assert set(s3.statements("media")) == {"Theirs", "InfraDenyPlainHttp", "InfraDenyOldTls"}


def test_quarantine_stays_unreadable_whichever_function_writes_the_policy() -> None:
    """The rotation of the user agent writes it, too."""
    s3, secrets = S3("media"), SecretsManager("agent-1")
    variables = {"QUARANTINE": '{"prefix": "uploads/", "roles": "arn:aws:iam::1:role/p-data-MediaQuarantine*"}'}
    quarantined = replace(access(s3, secrets), quarantine=Quarantine.of(variables))
    converge("media", "ua", quarantined)
    found = s3.statements("media")["InfraDenyQuarantine"]
    assert (found["Effect"], found["Principal"], found["Resource"]) == ("Deny", "*", "arn:aws:s3:::media/uploads/*")
    assert {"s3:GetObject", "s3:GetObjectVersion", "s3:PutObjectTagging"} < set(found["Action"])
    assert found["Condition"] == {"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::1:role/p-data-MediaQuarantine*"}}
    assert READS in s3.statements("media")
    assert Quarantine.of({}) is None
    converge("media", "ua", access(s3, secrets))
    assert "InfraDenyQuarantine" not in s3.statements("media")


def test_pages_of_our_sites_may_upload_and_rules_of_others_stay() -> None:
    s3, secrets = S3("media"), SecretsManager("agent-1")
    theirs = {"ID": "theirs", "AllowedOrigins": ["https://other.example"], "AllowedMethods": ["GET"]}
    s3.cors["media"] = [theirs]
    for _ in range(2):
        provide(Request("Update", properties(), "media"), access(s3, secrets))
    ours, other = s3.cors["media"]
    assert ours["AllowedOrigins"] == ["https://daadaar.com"]
    assert {"PUT", "POST"} < set(ours["AllowedMethods"])
    assert other == theirs
    provide(Request("Delete", properties(), "media"), access(s3, secrets))
    assert s3.cors["media"] == [theirs]


def test_without_others_nothing_of_the_rules_is_left() -> None:
    s3, secrets = S3("media"), SecretsManager("agent-1")
    provide(Request("Create", properties(), None), access(s3, secrets))
    provide(Request("Delete", properties(), "media"), access(s3, secrets))
    assert s3.cors == {}


def test_changes_go_to_eventbridge_and_other_notifications_stay() -> None:
    s3, secrets = S3("media"), SecretsManager("agent-1")
    queues = [{"QueueArn": "arn:aws:sqs:eu-central-1:1:theirs", "Events": ["s3:ObjectCreated:*"]}]
    s3.notifications["media"] = {"QueueConfigurations": queues}
    provide(Request("Update", properties(), "media"), access(s3, secrets))
    assert s3.notifications["media"] == {"QueueConfigurations": queues, "EventBridgeConfiguration": {}}


def test_an_adopted_bucket_counts_requests_of_all_objects_and_of_static_files_alone() -> None:
    s3, secrets = S3("media"), SecretsManager("agent-1")
    provide(Request("Create", properties(), None), access(s3, secrets))
    assert s3.metrics == {}, "CloudFormation has set up a bucket of ours"
    filters = {"EntireBucket": None, "StaticFiles": "_next/static/"}
    provide(Request("Update", properties(RequestMetrics=json.dumps(filters)), "media"), access(s3, secrets))
    assert s3.metrics == filters


def test_only_what_may_be_lost_is_emptied() -> None:
    s3, secrets = S3("media"), SecretsManager("agent-1")
    s3.put_object("media", "a.avif", b"a")
    provide(Request("Delete", properties(), "media"), access(s3, secrets))
    assert s3.objects
    provide(Request("Delete", properties(Disposable="true"), "media"), access(s3, secrets))
    assert not s3.objects


def test_a_bucket_that_is_gone_is_no_reason_to_fail_a_delete() -> None:
    provide(Request("Delete", properties(), "media"), access(S3(), SecretsManager("agent-1")))


def test_yesterdays_user_agent_is_refused_an_hour_after_the_rotation() -> None:
    secrets = SecretsManager("agent-1")
    secrets.put_secret_value(SecretId="ua", SecretString="agent-2", ClientRequestToken="v2")
    secrets.stages["AWSPREVIOUS"] = "first"
    early = access(S3("media"), secrets)
    assert accepted_user_agents("ua", early) == ["agent-1", "agent-2"]
    assert accepted_user_agents("ua", replace(early, now=NOW + timedelta(hours=2))) == ["agent-2"]


def test_a_rotation_in_the_middle_of_the_write_is_noticed() -> None:
    """Another writer has put its newer policy; our older one must not replace it."""
    secrets = SecretsManager("agent-1")

    class Overtaken(S3):
        def put_bucket_policy(self, Bucket: str, Policy: str) -> None:  # noqa: N803
            if self.policy_writes == 0:
                secrets.put_secret_value(
                    SecretId="ua", SecretString="agent-2", ClientRequestToken="v2", VersionStages=("AWSPENDING",)
                )
            super().put_bucket_policy(Bucket, Policy)

    s3 = Overtaken("media")
    converge("media", "ua", access(s3, secrets))
    assert s3.statements("media")[READS]["Condition"]["StringEquals"]["aws:UserAgent"] == ["agent-1", "agent-2"]


def test_a_policy_that_never_converges_is_an_error() -> None:
    class Forgetful(S3):
        def put_bucket_policy(self, Bucket: str, Policy: str) -> None:  # noqa: N803
            return

    with pytest.raises(SecretKeepsChanging):
        converge("media", "ua", access(Forgetful("media"), SecretsManager("agent-1")))


def test_without_a_secret_anonymous_reads_are_refused() -> None:
    s3, secrets = S3("media"), SecretsManager("AKIA1:secret")
    without = {key: value for key, value in properties().items() if key != "Secret"}
    provide(Request("Create", without, None), access(s3, secrets))
    assert set(s3.statements("media")) == {"InfraDenyPlainHttp", "InfraDenyOldTls"}


def test_a_former_access_key_is_not_used_as_user_agent() -> None:
    s3, secrets = S3("media"), SecretsManager("AKIA1:secret")
    provide(Request("Update", properties(), "media"), access(s3, secrets))
    (agent,) = s3.statements("media")[READS]["Condition"]["StringEquals"]["aws:UserAgent"]
    assert "AKIA" not in agent
    assert len(agent) == 48


PHASE = "http_request_late_transform"
RULE: dict[str, Any] = {
    "kind": "rules", "owner": "production", "name": PHASE, "zone": "example.com", "phase": PHASE,
    "rules": [{"name": "ua", "description": "", "expression": "true", "action": "rewrite", "action_parameters": {
        "headers": {"User-Agent": {"operation": "set", "value": {"$secret": "ua"}}}}}],
}  # fmt: skip


@pytest.fixture
def rotating(edge: Edge) -> tuple[Edge, S3, SecretsManager, UserAgent]:
    s3, secrets = S3("media"), SecretsManager("agent-1")
    edge.secrets["ua"] = "agent-1"
    edge.ask("Create", RULE)
    edge.store.put(KEY, {"104.16.0.0/13": NOW.isoformat()})
    doors = Access(s3, secrets, edge.store, NOW)
    converge("media", "ua", doors)
    rotation = UserAgent(edge.api(), doors, edge.store, bucket="media", rule=PHASE, secret="ua", version="v2")
    return edge, s3, secrets, rotation


def sent(edge: Edge) -> str:
    (rule,) = edge.zone.rulesets[PHASE]["rules"]
    return str(rule["action_parameters"]["headers"]["User-Agent"]["value"])


def test_each_step_leaves_the_doors_open_and_may_be_repeated(
    rotating: tuple[Edge, S3, SecretsManager, UserAgent],
) -> None:
    edge, s3, secrets, rotation = rotating
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        for _ in range(2):
            rotation.step(step)
            assert sent(edge) in s3.statements("media")[READS]["Condition"]["StringEquals"]["aws:UserAgent"]
    assert sent(edge) == secrets.get_secret_value("ua")["SecretString"] == "password-1"


@pytest.mark.parametrize("value", [None, "agent-1"])
def test_a_new_schedule_can_be_tried(rotating: tuple[Edge, S3, SecretsManager, UserAgent], value: str | None) -> None:
    """Secrets Manager runs testSecret alone."""
    edge, _, secrets, rotation = rotating
    secrets.begin("v2", value)
    rotation.step("testSecret")
    assert (sent(edge), secrets.stages["AWSCURRENT"]) == ("agent-1", "first")


def test_a_rotation_without_a_value_takes_nothing_away(rotating: tuple[Edge, S3, SecretsManager, UserAgent]) -> None:
    """For example after a failed first step: the policy stays in place, and the current version keeps its value."""
    edge, s3, secrets, rotation = rotating
    secrets.begin("v2")
    converge("media", "ua", Access(s3, secrets, edge.store, NOW))
    assert s3.statements("media")[READS]["Condition"]["StringEquals"]["aws:UserAgent"] == ["agent-1"]
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        rotation.step("finishSecret")
    assert secrets.stages["AWSCURRENT"] == "first"


def test_a_rotation_that_is_not_in_place_does_not_count(rotating: tuple[Edge, S3, SecretsManager, UserAgent]) -> None:
    edge, _, secrets, rotation = rotating
    rotation.step("createSecret")
    with pytest.raises(NotInPlace, match="Cloudflare does not send it"):
        rotation.step("testSecret")
    assert secrets.stages["AWSCURRENT"] == "first"
    assert sent(edge) == "agent-1"
