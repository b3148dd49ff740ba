"""AWS::IAM::OIDCProvider."""

from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, client, register


class OidcProvider:
    name = "AWS::IAM::OIDCProvider"

    def create(self, properties: Properties) -> Provisioned:
        iam = client("iam")
        host = properties["Url"].removeprefix("https://").rstrip("/")
        known = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        if any(provider["Arn"].endswith(f"/{host}") for provider in known):
            # IAM allows one for each URL and account: the second environment of an account must not create another.
            raise ResourceRefused(f"Provider with url {properties['Url']} already exists.")
        arn = iam.create_open_id_connect_provider(
            Url=properties["Url"],
            ClientIDList=list(properties.get("ClientIdList", [])),
            ThumbprintList=list(properties.get("ThumbprintList", [])),
        )["OpenIDConnectProviderArn"]
        return Provisioned(arn, {"Arn": arn})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        if old["Url"] != new["Url"]:
            return self.create(new)
        iam = client("iam")
        had, wanted = set(old.get("ClientIdList", [])), set(new.get("ClientIdList", []))
        for added in wanted - had:
            iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=physical_id, ClientID=added)
        for removed in had - wanted:
            iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=physical_id, ClientID=removed)
        return Provisioned(physical_id, {"Arn": physical_id})

    def delete(self, physical_id: str, properties: Properties) -> None:
        client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=physical_id)


def install() -> None:
    register(OidcProvider())
