"""The custom domain of a site on Amplify, validated through the Cloudflare zone while it waits."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.amplify import AmplifySite
from infra_constructs.cloudflare.provider import CloudflareToken
from infra_constructs.cloudflare.records import DNS
from infra_constructs.function import RuntimeFunction


@dataclass(frozen=True, kw_only=True)
class AmplifyDomainProps:
    """The site's service, host and zone."""

    service: str
    host: str
    zone: str
    adopt: bool


class AmplifyDomain(Construct):
    """`target` is the host to which the edge's proxied record of the site points."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        site: AmplifySite,
        token: CloudflareToken,
        owner: str,
        props: AmplifyDomainProps,
    ) -> None:
        super().__init__(scope, id_)
        handler = RuntimeFunction(
            self,
            "Handler",
            module="amplify_domain",
            description="Makes the site's domain at Amplify and writes the records that it waits for",
            # Lambda's longest. Amplify takes up to half an hour; the function asks itself to go on for up to an hour.
            timeout=cdk.Duration.minutes(15),
            environment={"TOKEN_SECRET": token.name},
            uses_libraries=True,
        )
        token.grant_read(handler)
        handler.role.add_to_policy(
            iam.PolicyStatement(
                actions=[
                    "amplify:CreateDomainAssociation",
                    "amplify:GetDomainAssociation",
                    "amplify:UpdateDomainAssociation",
                    "amplify:DeleteDomainAssociation",
                ],
                resources=[f"{site.app_arn}/domains/{props.host}"],
            )
        )
        handler.role.add_to_policy(
            iam.PolicyStatement(actions=["amplify:ListJobs"], resources=[f"{site.app_arn}/branches/{site.branch}"])
        )
        document = {
            "app": site.app_id,
            "branch": site.branch,
            "host": props.host,
            "zone": props.zone,
            "owner": f"{owner}.amplify-{props.service}",
            "site": {"owner": f"{owner}.{DNS}", "name": props.service},
            "adopt": props.adopt,
        }
        resource = handler.resource(
            self,
            "Resource",
            kind="Custom::AmplifyDomain",
            properties={"Document": cdk.Stack.of(self).to_json_string(document)},
        )
        handler.allow_self_invocation(self, "Itself", before=resource)
        self.target = resource.get_att_string("Target")
