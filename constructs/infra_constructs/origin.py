"""Who may open a connection to the load balancer: Cloudflare's network, and nobody else."""

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

# Published by Cloudflare at /ips; the fifteen IPv4 ranges in force in 2026-11. The load balancer has no IPv6.
CLOUDFLARE_IPV4 = (
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "108.162.192.0/18",
    "131.0.72.0/22",
    "141.101.64.0/18",
    "162.158.0.0/15",
    "172.64.0.0/13",
    "173.245.48.0/20",
    "188.114.96.0/20",
    "190.93.240.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
)
# Each entry that the list may ever hold counts against the sixty rules of a security group.
_ROOM_FOR_RANGES = 25


class OriginAccess(Construct):
    """The load balancer's security group. It lives with the network, as the services' groups name it."""

    def __init__(self, scope: Construct, id_: str, *, vpc: ec2.IVpc) -> None:
        super().__init__(scope, id_)
        ranges = ec2.PrefixList(
            self,
            "CloudflareIpv4",
            address_family=ec2.AddressFamily.IP_V4,
            max_entries=_ROOM_FOR_RANGES,
            entries=[ec2.CfnPrefixList.EntryProperty(cidr=cidr, description="Cloudflare") for cidr in CLOUDFLARE_IPV4],
        )
        self.security_group = ec2.SecurityGroup(
            self,
            "LoadBalancer",
            vpc=vpc,
            description="HTTPS from Cloudflare only",
            allow_all_outbound=False,
        )
        self.security_group.add_ingress_rule(
            ec2.Peer.prefix_list(ranges.prefix_list_id), ec2.Port.tcp(443), "HTTPS from Cloudflare"
        )
