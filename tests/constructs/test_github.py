from collections.abc import Callable

import aws_cdk as cdk
from aws_cdk import assertions

from infra_constructs.github import GitHubProvider

TemplateOf = Callable[[Callable[[cdk.Stack], object]], assertions.Template]


def test_the_oidc_provider_is_created_once_per_account(template_of: TemplateOf) -> None:
    for is_ours, count in ((True, 1), (False, 0)):

        def build(stack: cdk.Stack, *, is_ours: bool = is_ours) -> object:
            return GitHubProvider(stack, "GitHub", is_ours=is_ours)

        template_of(build).resource_count_is("AWS::IAM::OIDCProvider", count)
