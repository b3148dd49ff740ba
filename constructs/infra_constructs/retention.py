"""What happens to data when it is removed from its stack, or the stack is deleted."""

from dataclasses import dataclass

import aws_cdk as cdk


@dataclass(frozen=True)
class Retention:
    """Created by `kept` or `disposable`, never directly: disposable data needs a reason."""

    is_kept: bool
    reason: str

    @classmethod
    def kept(cls) -> "Retention":
        return cls(is_kept=True, reason="users' data")

    @classmethod
    def disposable(cls, *, reason: str) -> "Retention":
        return cls(is_kept=False, reason=reason)

    @property
    def objects(self) -> cdk.RemovalPolicy:
        """Policy for resources without snapshots: buckets, repositories, keys."""
        return cdk.RemovalPolicy.RETAIN if self.is_kept else cdk.RemovalPolicy.DESTROY

    @property
    def only_one(self) -> cdk.RemovalPolicy:
        """Policy for a resource with a fixed name: a failed creation deletes it, as the next one needs the name."""
        return cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if self.is_kept else cdk.RemovalPolicy.DESTROY

    @property
    def snapshots(self) -> cdk.RemovalPolicy:
        """Policy for resources with snapshots: RDS instances, ElastiCache replication groups."""
        return cdk.RemovalPolicy.SNAPSHOT if self.is_kept else cdk.RemovalPolicy.DESTROY
