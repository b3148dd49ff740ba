"""A custom resource uses the function of its kind, with the values of the environment's file."""

from collections.abc import Iterator, Mapping

from config.previews import site_hosts
from template_policies import Failure, Graph, Violation, policy
from template_policies.policy import EVERYTHING

HANDLERS: Mapping[str, str] = {
    "Custom::AmplifyBuild": "amplify_build",
    "Custom::AmplifyDomain": "amplify_domain",
    "Custom::Cloudflare": "cloudflare.provider",
    "Custom::CloudflareRanges": "cloudflare_ranges",
    "Custom::DatabaseDrills": "database.drills",
    "Custom::DatabaseLogins": "database.logins",
    "Custom::ImagePointer": "image_pointer",
    "Custom::Job": "jobs.control",
    "Custom::MediaAccess": "media_access",
    "Custom::OriginLock": "origin_lock",
    "Custom::RedisGate": "redis.monitor",
    "Custom::SigningKey": "rotate_signing_key",
    "Custom::StickySessions": "sticky_sessions",
    "Custom::UpstashDatabase": "redis.upstash",
    "Custom::ValidatedCertificate": "validated_certificate",
}


@policy(
    reason="Another function fails, or changes the wrong resource.",
    failure=Failure.REFUSED,
    reads={
        EVERYTHING: ("ServiceToken",),
        "AWS::Lambda::Function": ("Handler",),
        "Custom::MediaAccess": ("Bucket", "Disposable", "Secret", "Sites"),
        "Custom::CloudflareRanges": ("Name",),
        "Custom::OriginLock": ("Document",),
        "Custom::ValidatedCertificate": ("Document",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.resources.values():
        if each.type in HANDLERS:
            function = each.target("ServiceToken")
            handler = f"infra_runtime.{HANDLERS[each.type]}.handler"
            if function is None or function.get("Handler") != handler:
                yield each.violation("ServiceToken", f"must refer to the function with {handler}")
    environment = graph.environment
    for each in graph.of("Custom::MediaAccess"):
        if each.text(each.get("Bucket")) != environment.media.bucket and each.target("Bucket") is None:
            yield each.violation("Bucket", f"must be {environment.media.bucket}")
        yield from each.expect("Disposable", "false" if environment.protection.data == "keep" else "true")
        sites = str(site_hosts(environment)).replace("'", '"')
        if sorted(str(each.get("Sites"))) != sorted(sites):
            yield each.violation("Sites", f"is {each.get('Sites')}, must be {sites}")
        secret = each.target("Secret")
        if (secret is None or secret.type != "AWS::SecretsManager::Secret") and environment.media.origin == "connector":
            yield each.violation("Secret", "must refer to the secret user agent")
    for each in graph.of("Custom::OriginLock"):
        document = each.text(each.get("Document", ""))
        for key, kind in (("secret", "OriginLockAuthority"), ("bucket", "OriginLockTrust")):
            if f'"{key}":"{{Platform/{kind}' not in document:
                yield each.violation("Document", f"must name the {key} of its own stack")
    adopt = f'"adopt":{str(environment.cloudflare.adopt).lower()}'
    for each in graph.of("Custom::OriginLock", "Custom::ValidatedCertificate"):
        if adopt not in each.text(each.get("Document", "")).replace(" ", ""):
            yield each.violation("Document", f"must have {adopt}")
