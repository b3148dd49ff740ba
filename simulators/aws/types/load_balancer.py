"""AWS::ElasticLoadBalancingV2::LoadBalancer: MiniStack's carries no traffic, and is deleted although protected."""

import uuid
from typing import Any

from ministack.core.responses import get_region
from ministack.services import alb

from simulators.aws import account_plan
from simulators.aws.conditions import Condition, is_on
from simulators.aws.ecs import balancer
from simulators.aws.resource_type import ResourceRefused, client, extend
from simulators.aws.service_principals import may_log_access


def install() -> None:
    def check_logs(properties: dict[str, Any]) -> None:
        """Refuses a wrong log bucket in AWS's words (aws-cdk #21947)."""
        found = {each["Key"]: each["Value"] for each in properties.get("LoadBalancerAttributes", [])}
        bucket = found.get("access_logs.s3.bucket", "")
        is_logged = found.get("access_logs.s3.enabled") == "true"
        if is_logged and not may_log_access(bucket, found.get("access_logs.s3.prefix", "")):
            raise ResourceRefused(
                f"Access Denied for bucket: {bucket}. Please check S3bucket permission (Service: "
                "AmazonElasticLoadBalancing; Status Code: 400; Error Code: InvalidConfigurationRequest)"
            )

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        if refused := account_plan.refused_load_balancer():
            raise ResourceRefused(refused)
        check_logs(properties)
        arn, attributes = own["create"](logical_id, properties, stack_name)
        if is_on(Condition.MIXED_CASE_NAMES) and "Name" not in properties:
            # CloudFormation begins a name with parts of the stack's and the logical id, as they are written.
            name = f"{stack_name[:5]}-{logical_id[:5]}-{uuid.uuid4().hex[:12].upper()}"
            dns = f"{name}-{uuid.uuid4().int % 10**9}.{get_region()}.elb.amazonaws.com"
            alb._lbs[arn]["DNSName"] = attributes["DNSName"] = dns
        balancer.open_for(arn)
        return arn, attributes

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> tuple[str, dict[str, Any]]:
        if old.get("LoadBalancerAttributes") != new.get("LoadBalancerAttributes"):
            check_logs(new)
        found: tuple[str, dict[str, Any]] = own["update"](physical_id, old, new, *rest)
        return found

    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        attributes = client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=physical_id)["Attributes"]
        if {"Key": "deletion_protection.enabled", "Value": "true"} in attributes:
            raise ResourceRefused(
                f"Load balancer '{physical_id}' cannot be deleted because deletion protection is enabled"
            )
        own["delete"](physical_id, properties)
        balancer.close(physical_id)

    own = extend("AWS::ElasticLoadBalancingV2::LoadBalancer", create=create, update=update, delete=delete)
