"""Custom resource: has Amplify build a site when it is new, and when what it is built with has changed.

CloudFormation starts no build (aws-amplify/amplify-hosting #911, #2154: by design), and variables reach a site at its
build only. The deployment does not wait for the build: while it fails, Amplify serves the one before.
"""

from collections.abc import Mapping
from typing import Any

from infra_runtime.aws import client
from infra_runtime.custom_resource import Request, Result, serve
from infra_runtime.reporting import reported


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    amplify = client("amplify")
    serve(event, lambda request: build(request, amplify))


def build(request: Request, amplify: Any) -> Result:
    """The physical id is the branch's. Delete does nothing: Amplify deletes builds with their app."""
    app, branch = request.properties["App"], request.properties["Branch"]
    if request.kind != "Delete":
        amplify.start_job(appId=app, branchName=branch, jobType="RELEASE")
    return Result(f"{app}/{branch}")
