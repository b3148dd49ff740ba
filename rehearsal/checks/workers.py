"""Workers that run the image of a service."""

from pathlib import Path
from typing import Any

from config import services
from infra_runtime.contract.revision import APP, containers_of, named
from infra_runtime.release.preflight import deployments, tasks_of
from ops.errors import OperatorError
from rehearsal.account import Account
from rehearsal.checks.assertions import not_on_this_plan, require
from rehearsal.checks.releases import SECOND, first_release, place_of, release
from rehearsal.product import FIRST
from rehearsal.push import push
from rehearsal.traffic import traffic


def follow_the_image(account: Account) -> str:
    """A worker has run every image that its service has run, rollbacks included."""
    names = _workers(account)
    of_service = _images(account, account.main)
    require(len(of_service) > 3, f"only {len(of_service)} deployments")
    codes = []
    for name in names:
        require(_images(account, name) == of_service, f"{name} ran {_images(account, name)}, not {of_service}")
        codes += [_exit_code(task) for task in _ended(account, name)]
    require(set(codes) == {0}, f"exit codes of workers that were stopped: {codes}")
    return f"{', '.join(names)}: {len(of_service)} images, in the service's order; {len(codes)} tasks ended with 0"


def unhealthy_goes_back(account: Account) -> str:
    """An unhealthy worker rolls the release back, although the service's own deployment has succeeded by then."""
    names = [name for name in _workers(account) if account.environment.services[name].health_command]
    if not names:
        not_on_this_plan("no worker has a health command")
    before = first_release(account)
    with traffic(account).flowing() as users:
        try:
            output = release(account, push(account, account.main, "idle", (FIRST, SECOND), fault=_idle))
        except OperatorError as error:
            output = "\n".join([str(error), *error.__notes__])
        else:
            require(False, f"it was released: {output}")
    require("Task failed container health checks" in output, f"the reason is not reported: {output}")
    require(not users.failures, f"{len(users.failures)} requests failed: {users.failures[:3]}")
    require(place_of(account).image() == before, "the parameter still names the failed image")
    for name in (account.main, *names):
        image = account.container(account.service(name))["image"]
        require(image == before, f"{name} runs {image}")
    return f"{names[0]} was unhealthy, and {account.main} was rolled back with it; {users.requests} requests, none lost"


def _idle(folder: Path) -> None:
    (folder / "worker.mjs").write_text("setInterval(() => {}, 1000)")


def _workers(account: Account) -> list[str]:
    """Workers that run the image of the main service."""
    same = services.same_image(account.environment, account.main)
    found = [name for name, each in same.items() if each.host is None]
    if not found:
        not_on_this_plan("no worker runs the service's image")
    return found


def _images(account: Account, name: str) -> list[str]:
    """Images that the service has run, in order."""
    ecs, service = account.client("ecs"), account.service(name)
    found = [each for each in deployments(ecs, service) if each["status"] == "SUCCESSFUL"]
    images: list[str] = []
    for each in sorted(found, key=lambda each: each["createdAt"]):
        arn = each["targetServiceRevisionArn"]
        (revision,) = ecs.describe_service_revisions(serviceRevisionArns=[arn])["serviceRevisions"]
        image = named(containers_of(ecs, revision["taskDefinition"]), APP)["image"]
        if images[-1:] != [image]:
            images.append(image)
    return images


def _ended(account: Account, name: str) -> list[dict[str, Any]]:
    found = tasks_of(account.client("ecs"), account.service(name), desiredStatus="STOPPED")
    # The bootstrap image, which runs until the first release, also exits at SIGTERM. A task that was stopped
    # before its container started has no exit code.
    bootstrap = account.environment.bootstrap_image
    ran = [dict(each) for each in found if "exitCode" in named(each["containers"], APP)]
    return [each for each in ran if named(each["containers"], APP)["image"] != bootstrap]


def _exit_code(task: dict[str, Any]) -> int:
    return int(named(task["containers"], APP)["exitCode"])
