"""What serves users, who watches it, and who may deploy it."""

import json

from config.services import released
from rehearsal.account import Account
from rehearsal.promises.found import not_on_this_plan, require


def services(account: Account) -> str:
    found = []
    for stack, service in account.services():
        network = service["networkConfiguration"]["awsvpcConfiguration"]
        require(network["assignPublicIp"] == "DISABLED", f"{stack} has public addresses")
        providers = [each["capacityProvider"] for each in service.get("capacityProviderStrategy", [])]
        require(providers and set(providers) <= {"FARGATE", "FARGATE_SPOT"}, f"{stack} runs on {providers}")
        container = account.container(service)
        require(container["readonlyRootFilesystem"], f"{stack} can write its root filesystem")
        require(container["linuxParameters"]["capabilities"]["drop"] == ["ALL"], f"{stack} keeps capabilities")
        require(service["loadBalancers"], f"{stack} is behind no load balancer")
        found.append(f"{stack.lower()} on {providers[0]}")
    return ", ".join(found) + "; private, read-only, behind the ALB"


def blue_green(account: Account) -> str:
    minutes = []
    for stack, service in account.services():
        deployment = service["deploymentConfiguration"]
        require(deployment.get("strategy") == "BLUE_GREEN", f"{stack}: strategy {deployment.get('strategy')}")
        require(deployment["minimumHealthyPercent"] == 100, f"{stack}: {deployment['minimumHealthyPercent']} %")
        alarms = deployment["alarms"]
        require(alarms["enable"] and alarms["rollback"] and alarms["alarmNames"], f"{stack}: alarms {alarms}")
        known = account.client("cloudwatch").describe_alarms(AlarmNames=alarms["alarmNames"])["MetricAlarms"]
        require(len(known) == len(alarms["alarmNames"]), f"{stack}: an alarm that gates releases does not exist")
        minutes.append(f"{stack.lower()} bakes {deployment['bakeTimeInMinutes']} min")
    return ", ".join(minutes) + "; alarms roll back"


def autoscaling(account: Account) -> str:
    scaling = account.client("application-autoscaling")
    pages = scaling.get_paginator("describe_scalable_targets").paginate(ServiceNamespace="ecs")
    targets = [each for page in pages for each in page["ScalableTargets"]]
    pages = scaling.get_paginator("describe_scaling_policies").paginate(ServiceNamespace="ecs")
    policies = [each for page in pages for each in page["ScalingPolicies"]]
    found = []
    for stack, service in account.services():
        cluster = service["clusterArn"].rpartition("/")[2]
        identity = f"service/{cluster}/{service['serviceName']}"
        mine = [each for each in targets if each["ResourceId"] == identity]
        require(len(mine) == 1, f"{stack}: {len(mine)} scalable targets")
        metrics = {
            each["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]["PredefinedMetricType"]
            for each in policies
            if each["ResourceId"] == identity
        }
        require(
            metrics == {"ECSServiceAverageCPUUtilization", "ECSServiceAverageMemoryUtilization"}, f"{stack}: {metrics}"
        )
        found.append(f"{stack.lower()} {mine[0]['MinCapacity']}-{mine[0]['MaxCapacity']}")
    return ", ".join(found) + " tasks, on CPU and memory"


def sites(account: Account) -> str:
    """Each where the file says: on ECS or with Amplify."""
    told, there = [], dict(account.services())
    for name, each in account.environment.services.items():
        if not each.site:
            continue
        if each.amplify is None:
            require(name in there, f"no service {name}")
        told.append(f"{each.host}: {'ECS' if each.amplify is None else account.resource(name, 'AWS::Amplify::App')}")
    if not told:
        not_on_this_plan("the environment has no site")
    return ", ".join(told)


def images(account: Account) -> str:
    ecr = account.client("ecr")
    names = account.resources("Registry", "AWS::ECR::Repository")
    for each in ecr.describe_repositories(repositoryNames=names)["repositories"]:
        require(each["imageTagMutability"] == "IMMUTABLE", f"{each['repositoryName']}: tags can move")
        require(each["imageScanningConfiguration"]["scanOnPush"], f"{each['repositoryName']}: not scanned")
    pointers = account.resources("Registry", "Custom::ImagePointer")
    values = {account.client("ssm").get_parameter(Name=name)["Parameter"]["Value"] for name in pointers}
    known = {each["repositoryUri"] for each in ecr.describe_repositories(repositoryNames=names)["repositories"]}
    wrong = {each for each in values - {account.environment.bootstrap_image} if each.partition("@")[0] not in known}
    require(values and not wrong, f"pointers say {wrong or 'nothing'}")
    return f"{len(names)} repositories, immutable, scanned; pointers seeded by Lambda"


def github_roles(account: Account) -> str:
    delivery, iam = account.environment.delivery, account.client("iam")
    trusted = []
    for name in account.resources("Delivery", "AWS::IAM::Role"):
        role = iam.get_role(RoleName=name)["Role"]
        document = role["AssumeRolePolicyDocument"]
        trust = json.loads(document) if isinstance(document, str) else document
        require(len(trust["Statement"]) == 1, f"{name}: more than one way in")
        (statement,) = trust["Statement"]
        if "Service" in statement["Principal"]:
            continue
        condition = statement.get("Condition", {})
        require(set(condition) == {"StringEquals"}, f"{name}: conditions {set(condition)}")
        subject = next(value for key, value in condition["StringEquals"].items() if key.endswith(":sub"))
        require("sts.amazonaws.com" in condition["StringEquals"].values(), f"{name}: no audience")
        trusted.append(subject)
    wanted = [
        f"repo:{delivery.repository}:environment:{delivery.environment}",
        f"repo:{delivery.repository}:environment:{delivery.environment}-drift",
    ]
    services = [each.repository for each in released(account.environment).values()]
    for environment in [""] + (["-preview"] if account.environment.previews else []):
        wanted += [f"repo:{each}:environment:{delivery.environment}{environment}" for each in services]
    require(sorted(trusted) == sorted(wanted), f"{trusted}")
    return f"{len(trusted)} roles, each for one repository and environment"
