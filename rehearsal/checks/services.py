"""Checks of services, sites, images, scaling, and the roles of workflows."""

from typing import Any

from config.services import ON_AMPLIFY
from config.services import sites as sites_of
from ops.amplify import DeployedAmplifySite
from ops.doctor import amplify
from ops.drift import drifts
from rehearsal.account import Account
from rehearsal.checks.assertions import not_on_this_plan, require
from rehearsal.pipeline import DRIFT, RELEASE, Pipeline
from rehearsal.push import push
from rehearsal.visitor import SimulatedVisitor


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
        is_worker = account.environment.services[stack].host is None
        require(service["loadBalancers"] or is_worker, f"{stack} is behind no load balancer")
        found.append(f"{stack} on {providers[0]}{', a worker' if is_worker else ''}")
    return ", ".join(found) + "; private, read-only, behind the ALB"


def blue_green(account: Account) -> str:
    minutes = []
    for stack, service in account.services():
        deployment = service["deploymentConfiguration"]
        if account.environment.services[stack].host is None:
            breaker = deployment["deploymentCircuitBreaker"]
            require(breaker["enable"] and breaker["rollback"], f"{stack}: {breaker}")
            continue
        require(deployment.get("strategy") == "BLUE_GREEN", f"{stack}: strategy {deployment.get('strategy')}")
        require(deployment["minimumHealthyPercent"] == 100, f"{stack}: {deployment['minimumHealthyPercent']} %")
        alarms = deployment["alarms"]
        require(alarms["enable"] and alarms["rollback"] and alarms["alarmNames"], f"{stack}: alarms {alarms}")
        pages = account.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNames=alarms["alarmNames"])
        known = pages.build_full_result()["MetricAlarms"]
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
            what
            for each in policies
            if each["ResourceId"] == identity
            for what in _scaled_on(each["TargetTrackingScalingPolicyConfiguration"])
        }
        require(
            metrics in ({"ECSServiceAverageCPUUtilization", "ECSServiceAverageMemoryUtilization"}, {_OF_A_QUEUE}),
            f"{stack}: {metrics}",
        )
        by = "waiting jobs" if metrics == {_OF_A_QUEUE} else "CPU and memory"
        found.append(f"{stack.lower()} {mine[0]['MinCapacity']}-{mine[0]['MaxCapacity']} tasks on {by}")
    return ", ".join(found)


_OF_A_QUEUE = "waiting / running"


def _scaled_on(configuration: dict[str, Any]) -> list[str]:
    """The predefined metric, or the expressions whose values are returned."""
    if "PredefinedMetricSpecification" in configuration:
        return [configuration["PredefinedMetricSpecification"]["PredefinedMetricType"]]
    queries = configuration["CustomizedMetricSpecification"]["Metrics"]
    return [each["Expression"] for each in queries if each.get("ReturnData", True)]


def sites(account: Account) -> str:
    """Each site runs where its file says: on ECS or on Amplify."""
    messages, there = [], dict(account.services())
    for name, each in account.environment.services.items():
        if not each.site:
            continue
        if each.amplify is None:
            require(name in there, f"no service {name}")
        messages.append(f"{each.host}: {'ECS' if each.amplify is None else _on_amplify(account, name, str(each.host))}")
    if not messages:
        not_on_this_plan("the environment has no site")
    return ", ".join(messages)


def _on_amplify(account: Account, name: str, host: str) -> str:
    """The last build is served under its own name through Cloudflare, and its certificate can renew itself."""
    site = DeployedAmplifySite(account.name, account.environment, name, account)
    domain = site.domain()
    require(domain["domainStatus"] == "AVAILABLE", f"{host} is {domain['domainStatus']}: {domain.get('statusReason')}")
    validation, _, content = domain["certificateVerificationDNSRecord"].split()
    records = {each["name"]: each for each in account.zone.records.values() if each["type"] == "CNAME"}
    record = records.get(validation.rstrip("."), {})
    require(record.get("content") == content.rstrip("."), f"no record {validation}")
    require(not record["proxied"], f"{validation} is proxied: Amplify's certificate is not renewed")
    app = account.client("amplify").get_app(appId=account.resource(f"{name}{ON_AMPLIFY}", "AWS::Amplify::App"))["app"]
    missing = set(account.environment.services[name].variables) - set(app["environmentVariables"])
    require(not missing, f"{host} is built without {missing}")
    # A simulated build is ready at the third request.
    answers = [SimulatedVisitor(account).get(f"https://{host}/").status_code for _ in range(3)]
    require(answers[-1] == 200, f"https://{host}/ answers {answers[-1]}")
    problems = [each.what for each in amplify.examine(site)]
    require(not problems, "; ".join(problems))
    build = site.builds()[0]
    return f"Amplify, {domain['domainStatus']}, build {build['jobId']} {build['status']}, validation record not proxied"


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
    if account.cdk.access_key is None:
        not_on_this_plan("IAM is turned off, and refuses no one")
    pipeline = Pipeline(account)
    for job in pipeline.jobs:
        caller = pipeline.enter(job).client("sts").get_caller_identity()["Arn"]
        require(f":assumed-role/{job.role.rpartition('/')[2]}/" in caller, f"{job.subject} is {caller}")
    intruders = pipeline.intruders()
    require(not intruders, "; ".join(intruders[:3]))
    return (
        f"{len(pipeline.jobs)} roles, each entered by the token of its own repository and environment, and by no other"
    )


def nightly_drift_check(account: Account) -> str:
    """`infra drift` in its nightly workflow, which needs no approval."""
    found = list(drifts(account.name, account.environment, Pipeline(account).runs(DRIFT)))
    require(not found, "; ".join(f"{each.stack} {each.resource}: {each.what}" for each in found[:3]))
    return f"{len(account.stacks())} stacks compared, no drift"


def site_is_pushed(account: Account) -> str:
    """The first job of the site's release."""
    sites = list(sites_of(account.environment))
    if not sites:
        not_on_this_plan("no site is on ECS")
    image = push(account, sites[0], "a-site")
    workflow = Pipeline(account).runs(RELEASE, sites[0])
    repository, _, digest = image.partition("@")
    scan = workflow.client("ecr").describe_image_scan_findings(
        repositoryName=repository.partition("/")[2], imageId={"imageDigest": digest}
    )["imageScanStatus"]["status"]
    require(scan in ("COMPLETE", "ACTIVE"), f"the scan is {scan}")
    file = {"Bucket": account.environment.media.bucket, "Key": "_next/static/chunks/a.js"}
    workflow.client("s3").put_object(**file, Body=b"1")
    account.client("s3").delete_object(**file)
    return "image pushed and scanned, static files uploaded, by the role of its release"
