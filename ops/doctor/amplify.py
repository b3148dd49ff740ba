"""A deployed site on Amplify: its domain, and its last build."""

from collections.abc import Iterator

from botocore.exceptions import ClientError

from ops.account import is_denied
from ops.amplify import DeployedAmplifySite
from ops.doctor.finding import Finding, unchecked


def examine(site: DeployedAmplifySite) -> Iterator[Finding]:
    """What is wrong with a deployed site. None of it stops a deployment. Raises what boto3 raises."""
    try:
        domain, builds = site.domain(), site.builds()
    except ClientError as error:
        if not is_denied(error):
            raise
        yield unchecked(site.stack, what="Amplify", why="its domain or its last build may have failed")
        return
    if domain["domainStatus"] == "FAILED":
        yield Finding(
            where=site.stack, what=f"{domain['domainName']} is FAILED at Amplify: {domain.get('statusReason')}",
            why="users may not reach the site, and its certificate is not renewed",
            fix="remove that cause, then choose Retry under Custom domains in Amplify's console", stops=False,
        )  # fmt: skip
    if builds and builds[0]["status"] == "FAILED":
        yield Finding(
            where=site.stack, what=f"the last build failed: {builds[0]['jobId']}, commit {builds[0]['commitId']}",
            why="users still get the build before it",
            fix="read its log in Amplify's console, correct the code and push", stops=False,
        )  # fmt: skip
