"""Checks of the network and of the load balancer."""

from config.previews import load_balanced_hosts
from rehearsal.account import Account
from rehearsal.checks.assertions import require


def network_zones(account: Account) -> str:
    ec2 = account.client("ec2")
    vpc = account.resource("Network", "AWS::EC2::VPC")
    pages = ec2.get_paginator("describe_subnets").paginate(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    found = pages.build_full_result()["Subnets"]
    zones = sorted({subnet["AvailabilityZone"] for subnet in found})
    wanted = sorted(account.environment.network.availability_zones)
    require(zones == wanted, f"zones {zones}, wanted {wanted}")
    require(len(found) == 3 * len(wanted), f"{len(found)} subnets")
    return f"{len(found)} subnets in {', '.join(zone[-1] for zone in zones)}"


def nat(account: Account) -> str:
    """Checks that each private subnet routes to the NAT gateway in its own zone, where each zone has one."""
    ec2 = account.client("ec2")
    vpc = [{"Name": "vpc-id", "Values": [account.resource("Network", "AWS::EC2::VPC")]}]
    subnets = ec2.get_paginator("describe_subnets").paginate(Filters=vpc).build_full_result()["Subnets"]
    zone_of = {each["SubnetId"]: each["AvailabilityZone"] for each in subnets}
    gateways = {
        each["NatGatewayId"]: zone_of[each["SubnetId"]]
        for each in ec2.get_paginator("describe_nat_gateways").paginate().build_full_result()["NatGateways"]
        if each["State"] == "available" and each["SubnetId"] in zone_of
    }
    routed = 0
    for table in ec2.get_paginator("describe_route_tables").paginate(Filters=vpc).build_full_result()["RouteTables"]:
        exits = [route for route in table["Routes"] if route.get("DestinationCidrBlock") == "0.0.0.0/0"]
        for route in exits:
            gateway = route.get("NatGatewayId")
            for association in table["Associations"]:
                if gateway and account.environment.network.nat == "per-az":
                    zone = zone_of[association["SubnetId"]]
                    require(gateways[gateway] == zone, f"a subnet in {zone} leaves through {gateways[gateway]}")
                routed += bool(gateway or route.get("InstanceId"))
    kind = account.environment.network.nat
    expected = {"per-az": len(account.environment.network.availability_zones), "single": 1, "instance": 0}[kind]
    require(len(gateways) == expected, f"{len(gateways)} gateways, wanted {expected}")
    require(
        routed == len(account.environment.network.availability_zones), f"{routed} private subnets have a default route"
    )
    return (
        f"{len(gateways)} gateways, {routed} private subnets routed" if gateways else f"one instance, {routed} routed"
    )


def default_group(account: Account) -> str:
    vpc = account.resource("Network", "AWS::EC2::VPC")
    groups = account.client("ec2").describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    require(len(groups) == 1, f"{len(groups)} default groups")
    rules = groups[0]["IpPermissions"] + groups[0]["IpPermissionsEgress"]
    require(not rules, f"{len(rules)} rules left in it")
    return "no rule left, by the custom resource"


def flow_logs(account: Account) -> str:
    vpc = account.resource("Network", "AWS::EC2::VPC")
    logs = [each for each in account.client("ec2").describe_flow_logs()["FlowLogs"] if each["ResourceId"] == vpc]
    require(len(logs) == 1, f"{len(logs)} flow logs")
    return f"{logs[0]['TrafficType']} to {logs[0]['LogDestinationType']}"


def only_cloudflare_connects(account: Account) -> str:
    elb = account.client("elbv2")
    arn = account.resource("Platform", "AWS::ElasticLoadBalancingV2::LoadBalancer")
    balancer = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
    listeners = elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]
    require({each["Protocol"] for each in listeners} == {"HTTPS"}, "a listener without TLS")
    groups = account.client("ec2").describe_security_groups(GroupIds=balancer["SecurityGroups"])["SecurityGroups"]
    ingress = [rule for group in groups for rule in group["IpPermissions"]]
    opened = [rule for rule in ingress if rule.get("IpRanges") or rule.get("Ipv6Ranges")]
    require(ingress and not opened, f"{len(opened)} rules name address ranges, {len(ingress)} rules in all")
    lists = [each["PrefixListId"] for rule in ingress for each in rule["PrefixListIds"]]
    pages = account.client("ec2").get_paginator("get_managed_prefix_list_entries").paginate(PrefixListId=lists[0])
    entries = pages.build_full_result()["Entries"]
    require(len(entries) >= 10, f"{len(entries)} ranges")
    ports = sorted({rule["FromPort"] for rule in ingress})
    return f"HTTPS on {', '.join(map(str, ports))} from Cloudflare's {len(entries)} ranges only"


def hosts(account: Account) -> str:
    elb = account.client("elbv2")
    arn = account.resource("Platform", "AWS::ElasticLoadBalancingV2::LoadBalancer")
    production = [each for each in elb.describe_listeners(LoadBalancerArn=arn)["Listeners"] if each["Port"] == 443]
    require(production[0]["DefaultActions"][0]["Type"] == "fixed-response", "an unknown host reaches a service")
    pages = elb.get_paginator("describe_rules").paginate(ListenerArn=production[0]["ListenerArn"])
    rules = [each for page in pages for each in page["Rules"]]
    hosts = sorted(
        host
        for rule in rules
        for condition in rule["Conditions"]
        for host in condition.get("HostHeaderConfig", {}).get("Values", []) or condition.get("Values", [])
    )
    require(hosts == sorted(load_balanced_hosts(account.environment)), f"hosts {hosts}")
    return f"{', '.join(hosts)}; any other host gets 404"
