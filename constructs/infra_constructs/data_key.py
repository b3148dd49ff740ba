"""The key that the data at rest is encrypted with."""

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from constructs import Construct


class DataKey(Construct):
    """Stateful, and always retained: a snapshot that outlives the stack is worth nothing without it."""

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(scope, id_)
        self.key = kms.Key(
            self,
            "Key",
            description="Data at rest: database, Redis, their secrets and snapshots",
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
