"""RDS creates and rotates the master password; no person enters or sees it."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

DATABASE = "AWS::RDS::DBInstance"


@policy(
    reason="A password in a template is in every stack's history (FSBP RDS, SecretsManager.1).",
    failure=Failure.SECRET_ROTATES,
    reads={
        DATABASE: ("ManageMasterUserPassword", "MasterUserPassword", "EnableIAMDatabaseAuthentication", "DBName",
                   "MasterUsername"),
    },
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(DATABASE):
        yield from each.expect("ManageMasterUserPassword", True)
        if each.get("MasterUserPassword") is not None:
            yield each.violation("MasterUserPassword", "is in the template")
        yield from each.expect("EnableIAMDatabaseAuthentication", True)
        # Functions and the rollback of an upgrade rely on both names.
        yield from each.expect("MasterUsername", "postgres")
        yield from each.expect("DBName", "app")
