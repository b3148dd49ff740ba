"""AWS::Amplify::App and AWS::Amplify::Branch, and Amplify's API: MiniStack has neither."""

import json
import os
import urllib.request

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from simulators.aws import rest_api
from simulators.aws.amplify import AmplifyError, AmplifyHosting
from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, register
from simulators.aws.service_principals import can_enter

_SERVICE = "amplify"
_places = AccountRegionScopedDict()


def amplify() -> AmplifyHosting:
    """Amplify of the account and region that the call addresses."""
    if _SERVICE not in _places:
        _places[_SERVICE] = AmplifyHosting(_cnames)
    found: AmplifyHosting = _places[_SERVICE]
    return found


def _cnames(name: str) -> list[str]:
    """CNAME records of a name, from the zone's name servers, which are the Cloudflare simulator's."""
    with urllib.request.urlopen(f"{os.environ['CLOUDFLARE_BASE_URL']}/dns-query?name={name}", timeout=5) as answer:
        return [each["data"] for each in json.load(answer)["Answer"]]


class _App:
    name = "AWS::Amplify::App"

    def create(self, properties: Properties) -> Provisioned:
        if properties.get("Repository") and not (properties.get("AccessToken") or properties.get("OauthToken")):
            raise ResourceRefused("You should at least provide one valid token")
        _check_role(properties)
        prefix = f"arn:aws:amplify:{get_region()}:{get_account_id()}"
        identity = amplify().create_app(properties["Name"], arn_prefix=prefix, variables=_variables(properties))
        return self._made(identity)

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        _check_role(new)
        amplify().apps[physical_id].variables = _variables(new)
        return self._made(physical_id)

    def delete(self, physical_id: str, properties: Properties) -> None:
        amplify().apps.pop(physical_id, None)

    @staticmethod
    def _made(identity: str) -> Provisioned:
        attributes = {"AppId": identity, "Arn": amplify().apps[identity].arn}
        return Provisioned(identity, {**attributes, "DefaultDomain": f"{identity}.amplifyapp.com"})


def _check_role(properties: Properties) -> None:
    """Amplify assumes the role of server-side rendering when it is given one, and names the account it acts for
    (mohamedsorour1998/Grace, infra/provision_amplify.py, tried CreateApp with both)."""
    role = properties.get("ComputeRoleArn")
    if role and not can_enter("amplify.amazonaws.com", role):
        raise ResourceRefused("The compute role provided cannot be assumed by Amplify.")


def _variables(properties: Properties) -> dict[str, str]:
    """User guide, "Using environment variables in an Amplify application"."""
    found = {each["Name"]: each["Value"] for each in properties.get("EnvironmentVariables", [])}
    if wrong := [name for name, value in found.items() if name.startswith("AWS") or len(value) > 5500]:
        raise ResourceRefused(
            f"Environment variables {wrong}: the prefix AWS is reserved, and values have at most 5500 characters"
        )
    return found


class _Branch:
    name = "AWS::Amplify::Branch"

    def create(self, properties: Properties) -> Provisioned:
        name, identity = properties["BranchName"], properties["AppId"]
        try:
            amplify().create_branch(identity, name, framework=properties.get("Framework", ""))
        except AmplifyError as error:
            raise ResourceRefused(str(error)) from None
        arn = f"{amplify().apps[identity].arn}/branches/{name}"
        return Provisioned(arn, {"Arn": arn, "BranchName": name})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self.create(new)

    def delete(self, physical_id: str, properties: Properties) -> None:
        app, _, branch = physical_id.rpartition("/branches/")
        amplify().delete_branch(app.rpartition("/")[2], branch)


_ROUTES: tuple[tuple[str, str, str], ...] = (
    ("GET", r"/apps/(?P<appId>[^/]+)", "get_app"),
    ("POST", r"/apps/(?P<appId>[^/]+)/domains", "create_domain_association"),
    ("GET", r"/apps/(?P<appId>[^/]+)/domains/(?P<domainName>[^/]+)", "get_domain_association"),
    ("POST", r"/apps/(?P<appId>[^/]+)/domains/(?P<domainName>[^/]+)", "update_domain_association"),
    ("DELETE", r"/apps/(?P<appId>[^/]+)/domains/(?P<domainName>[^/]+)", "delete_domain_association"),
    ("POST", r"/apps/(?P<appId>[^/]+)/branches/(?P<branchName>[^/]+)/jobs", "start_job"),
    ("GET", r"/apps/(?P<appId>[^/]+)/branches/(?P<branchName>[^/]+)/jobs", "list_jobs"),
)


def install() -> None:
    register(_App())
    register(_Branch())
    handle = rest_api.handler(_ROUTES, amplify, AmplifyError, missing="NotFoundException", wrong="BadRequestException")
    rest_api.install(_SERVICE, handle)
