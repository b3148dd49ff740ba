"""AWS::EC2::PrefixList."""

from ipaddress import ip_network
from typing import Any

from rehearsal.emulator.resource_type import Properties, Provisioned, Refused, client, register, tags_of


class PrefixList:
    name = "AWS::EC2::PrefixList"

    def create(self, properties: Properties) -> Provisioned:
        entries = self._entries(properties)
        made = client("ec2").create_managed_prefix_list(
            PrefixListName=properties["PrefixListName"],
            AddressFamily=properties["AddressFamily"],
            MaxEntries=int(properties["MaxEntries"]),
            Entries=entries,
            TagSpecifications=tags_of("prefix-list", properties),
        )["PrefixList"]
        return Provisioned(made["PrefixListId"], self._attributes(made))

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        if old["AddressFamily"] != new["AddressFamily"]:
            return self.create(new)
        ec2 = client("ec2")
        wanted = {entry["Cidr"]: entry for entry in self._entries(new)}
        had = {entry["Cidr"] for entry in self._entries(old)}
        current = ec2.describe_managed_prefix_lists(PrefixListIds=[physical_id])["PrefixLists"][0]
        if set(wanted) != had:
            current = ec2.modify_managed_prefix_list(
                PrefixListId=physical_id,
                CurrentVersion=current["Version"],
                AddEntries=[entry for cidr, entry in wanted.items() if cidr not in had],
                RemoveEntries=[{"Cidr": cidr} for cidr in had - set(wanted)],
            )["PrefixList"]
        return Provisioned(physical_id, self._attributes(current))

    def delete(self, physical_id: str, properties: Properties) -> None:
        client("ec2").delete_managed_prefix_list(PrefixListId=physical_id)

    @staticmethod
    def _entries(properties: Properties) -> list[dict[str, str]]:
        """The entries as the API takes them. Refuses more than the list has room for, and the other family."""
        entries = [
            {"Cidr": entry["Cidr"], "Description": entry.get("Description", "")}
            for entry in properties.get("Entries") or []
        ]
        if len(entries) > int(properties["MaxEntries"]):
            raise Refused("You've reached the maximum number of entries for the prefix list.")
        version = {"IPv4": 4, "IPv6": 6}[properties["AddressFamily"]]
        for entry in entries:
            if ip_network(entry["Cidr"]).version != version:
                raise Refused(f"The CIDR {entry['Cidr']} is not of the prefix list's address family.")
        return entries

    @staticmethod
    def _attributes(found: dict[str, Any]) -> dict[str, str]:
        return {
            "PrefixListId": found["PrefixListId"],
            "Arn": found.get("PrefixListArn", ""),
            "Version": str(found.get("Version", 1)),
        }


def install() -> None:
    register(PrefixList())
