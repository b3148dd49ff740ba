"""Each ingress rule is about one port, or the tasks' ports, of one of our groups."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short
from template_policies.security_groups import GROUP, INGRESS, group_of, ingress, ports

# A task listens on one of these only; which one may change without a rule that changes (docs/adr/0039).
TASKS = ("tcp", 1024, 65535)


@policy(
    reason="A range of ports, or all protocols, also admits clients to later listeners.",
    failure=Failure.EXPOSED,
    reads=INGRESS,
)
def check(graph: Graph) -> Iterator[Violation]:
    for rule in ingress(graph):
        resource, path, properties = rule
        protocol, first, last = ports(properties)
        cidr = graph.environment.network.cidr
        is_nat = graph.environment.network.nat == "instance" and properties.get("CidrIp") == cidr
        is_for_tasks = "SourceSecurityGroupId" in properties and (protocol, first, last) == TASKS
        if not is_nat and not is_for_tasks and (protocol != "tcp" or first is None or first != last):
            yield resource.violation(path, f"opens {short([protocol, first, last])}, must be tcp on one port")
        group = group_of(rule)
        if group is None or group.type != GROUP:
            yield resource.violation("GroupId", "must refer to a security group")
        source = properties.get("SourceSecurityGroupId")
        if source is not None:
            found = graph.target(resource.stack, source)
            if found is None or found.type != GROUP:
                yield resource.violation("SourceSecurityGroupId", "must refer to a security group")
