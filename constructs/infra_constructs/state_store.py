"""What functions remember between deployments, in Systems Manager parameters (infra_runtime.state_store)."""

from aws_cdk import aws_iam as iam

from infra_constructs.arns import arn_of
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction
from infra_runtime.contract.names import parameters


class StateStore:
    """State of functions between deployments: Systems Manager parameters with one prefix."""

    def __init__(self, *, product: str, environment: str, about: str) -> None:
        self.prefix = parameters(product, environment, about)

    def grant(self, handler: RuntimeFunction, *, writes: bool) -> None:
        arn = arn_of(handler, "ssm", f"parameter{self.prefix}/*")
        actions = ["ssm:GetParameter", "ssm:GetParametersByPath"]
        actions += ["ssm:PutParameter", "ssm:DeleteParameter"] if writes else []
        handler.role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[arn]))
        acknowledge(handler.policy, allows_on(arn), reason="One name for each thing remembered; all of them are ours.")
