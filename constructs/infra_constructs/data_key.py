"""The key that the data at rest is encrypted with."""

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra_constructs.retention import Retention


class DataKey(Construct):
    """Stateful: a snapshot that outlives the stack cannot be restored without it."""

    def __init__(self, scope: Construct, id_: str, *, retention: Retention) -> None:
        super().__init__(scope, id_)
        self.key = kms.Key(
            self,
            "Key",
            description="Data at rest: database, Redis, and their snapshots",
            enable_key_rotation=True,
            # A deleted key can be restored for up to thirty days; disposable data needs less.
            pending_window=None if retention.is_kept else cdk.Duration.days(7),
            removal_policy=retention.objects,
        )
