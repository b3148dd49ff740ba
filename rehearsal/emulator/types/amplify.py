"""AWS::Amplify::App and AWS::Amplify::Branch, kept but never built: MiniStack has no Amplify."""

from uuid import uuid4

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from rehearsal.emulator.resource_type import Properties, Provisioned, Refused, register

_apps = AccountRegionScopedDict()


class _App:
    name = "AWS::Amplify::App"

    def create(self, properties: Properties) -> Provisioned:
        if properties.get("Repository") and not (properties.get("AccessToken") or properties.get("OauthToken")):
            raise Refused("You should at least provide one valid token")
        identity = f"d{uuid4().hex[:13]}"
        _apps[identity] = dict(properties)
        return self._made(identity)

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        _apps[physical_id] = dict(new)
        return self._made(physical_id)

    def delete(self, physical_id: str, properties: Properties) -> None:
        _apps.pop(physical_id, None)

    @staticmethod
    def _made(identity: str) -> Provisioned:
        arn = f"arn:aws:amplify:{get_region()}:{get_account_id()}:apps/{identity}"
        domain = f"{identity}.amplifyapp.com"
        return Provisioned(identity, {"AppId": identity, "Arn": arn, "DefaultDomain": domain})


class _Branch:
    name = "AWS::Amplify::Branch"

    def create(self, properties: Properties) -> Provisioned:
        if properties["AppId"] not in _apps:
            raise Refused(f"App {properties['AppId']} not found.")
        arn = f"arn:aws:amplify:{get_region()}:{get_account_id()}:apps/{properties['AppId']}"
        name = properties["BranchName"]
        return Provisioned(f"{arn}/branches/{name}", {"Arn": f"{arn}/branches/{name}", "BranchName": name})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self.create(new)

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Gone with its app's record."""


def install() -> None:
    register(_App())
    register(_Branch())
