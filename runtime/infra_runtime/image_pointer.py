"""Custom resource: an SSM parameter that says which image a service runs.

Seeded with the bootstrap image, and with another one as long as nothing was released. After the first release its value
belongs to the releases: no update of the stack writes it, and a parameter that is already there is taken over as it is.
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
    name, seed = request.properties["Parameter"], request.properties["Seed"]
    if request.kind == "Delete":
        with contextlib.suppress(ssm.exceptions.ParameterNotFound):
            ssm.delete_parameter(Name=name)
        return Result(physical_id=request.physical_id or name)
    about = "The image that the service runs; written by releases"
    try:
        ssm.put_parameter(Name=name, Value=seed, Type="String", Description=about)
    except ssm.exceptions.ParameterAlreadyExists:
        # A release writes an image of the service's own repository, which is no seed (infra_runtime.release.preflight).
        former = request.former.get("Seed")
        if former != seed and ssm.get_parameter(Name=name)["Parameter"]["Value"] == former:
            ssm.put_parameter(Name=name, Value=seed, Type="String", Description=about, Overwrite=True)
    return Result(physical_id=name, attributes={"Parameter": name})
