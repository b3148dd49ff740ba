"""Custom resource: an SSM parameter that says which image a service runs.

Seeded once, with the bootstrap image. From then on its value belongs to the releases: an update of the stack, also one
that brings another seed, never writes it, and a parameter that is already there is taken over as it is.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from infra_runtime.aws import client
from infra_runtime.custom_resource import Request, Result, serve
from infra_runtime.reporting import reported


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    ssm = client("ssm")
    serve(event, lambda request: converge(request, ssm))


def converge(request: Request, ssm: Any) -> Result:
    """The physical id is the parameter's name; a new name means a new pointer, and the old one is deleted."""
    name = request.properties["Parameter"]
    if request.kind == "Delete":
        with contextlib.suppress(ssm.exceptions.ParameterNotFound):
            ssm.delete_parameter(Name=name)
        return Result(physical_id=request.physical_id or name)
    with contextlib.suppress(ssm.exceptions.ParameterAlreadyExists):
        ssm.put_parameter(
            Name=name,
            Value=request.properties["Seed"],
            Type="String",
            Description="The image that the service runs; written by releases",
        )
    return Result(physical_id=name, attributes={"Parameter": name})
