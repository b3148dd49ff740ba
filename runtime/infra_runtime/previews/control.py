"""Assigns slots to previews and frees them. The only function that a pull request's role may call.

A schedule ends previews; closing the pull request only ends its preview sooner. Any caller may repeat any action: a
lease says what is wanted, and `tend`, each quarter of an hour, does what is left to do for it.
"""

import json
import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from infra_runtime import aws
from infra_runtime.caller import NotProven, who
from infra_runtime.contract.database_names import preview_names
from infra_runtime.contract.names import words
from infra_runtime.contract.releases import preview_service
from infra_runtime.previews.leases import Lease, LeaseChanged, Leases
from infra_runtime.release.ledger import Ledger, Release, new_id
from infra_runtime.release.postgres_errors import refusals
from infra_runtime.release.preflight import ReleaseProblem, image_in, stack_of, unusable_secrets
from infra_runtime.release.rollback_reasons import rollback_reason
from infra_runtime.release.stack_update import end_of
from infra_runtime.reporting import reported

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

BUSY = "busy"
"""`ReleaseProblem.check` of a problem that resolves itself."""
# CloudFormation's words for an update to what is there already.
_NOTHING_TO_DO = "No updates are to be performed"
_NAME_LENGTH = 200
_LONGEST_COPY = timedelta(minutes=15)
# The longest that the function for databases may run: how long a copy takes depends on the database.
_PATIENCE = Config(read_timeout=900, retries={"total_max_attempts": 1})


@reported
def handler(event: Mapping[str, Any], context: Any) -> Any:
    """{"action": "list" | "take" | "start" | "end", …}; "deploy" comes from itself, anything else from the schedule."""
    if event.get("action") in ("take", "start"):
        try:
            event = {**event, "who": who(event, sts=aws.client("sts"), function=context.function_name)}
        except NotProven as error:
            return {
                "problems": [
                    asdict(ReleaseProblem("caller", str(error), "use `infra`, with credentials of this account"))
                ]
            }
    table = os.environ["LEDGER"]
    dynamodb = aws.client("dynamodb")
    control = PreviewControl(
        aws,
        Leases(dynamodb, table),
        Ledger(dynamodb, table),
        [Slot(**each) for each in json.loads(os.environ["SLOTS"])],
        services=json.loads(os.environ["SERVICES"]),
        lifetime=timedelta(hours=int(os.environ["HOURS"])),
        databases=os.environ["DATABASES"],
        database_log=os.environ["DATABASE_LOG"],
        itself=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        secrets=json.loads(os.environ["SECRETS"]),
    )
    return control.asked(event)


@dataclass(frozen=True, kw_only=True)
class Slot:
    number: int
    stack: str
    """Name of its stack, which stays; what runs in it are values of the stack's parameters."""
    urls: Mapping[str, str]
    """By service."""


@dataclass(frozen=True)
class PreviewControl:
    clients: Any
    """Has `client(service, …)`, like `infra_runtime.aws`."""
    leases: Leases
    ledger: Ledger
    slots: Sequence[Slot]
    services: Mapping[str, Mapping[str, str]]
    """By name: `repository` (its URI), `pointer` (the parameter that says what the environment runs), `bootstrap`,
    `platform` (of its tasks, like linux/arm64).
    """
    lifetime: timedelta
    databases: str
    """Name of the function that makes and drops databases."""
    database_log: str
    """Name of the log group of PostgreSQL's own log."""
    itself: str
    secrets: Sequence[str]
    """Names of those that people have stored and the services' tasks read."""

    def asked(self, event: Mapping[str, Any]) -> Any:
        match event.get("action"):
            case "list":
                return {"previews": [self._described(each) for each in self.leases.all()]}
            case "take":
                return self._answer(self._take(event))
            case "start":
                return self._answer(self._start(event))
            case "end":
                return self._answer(self._end(event))
            case "deploy":
                return self._deploy(event["lease"])
            case _:
                return self.tend_all()

    # -- what is asked for

    def _take(self, event: Mapping[str, Any]) -> Lease | ReleaseProblem:
        name = str(event["name"])[:_NAME_LENGTH]
        until = (datetime.now(UTC) + self.lifetime).isoformat(timespec="seconds")
        leases = self.leases.all()
        for each in leases:
            if each.name == name and each.phase != "ending":
                return self.leases.change(each, each.with_(until=until))
        free = [slot.number for slot in self.slots if slot.number not in {each.slot for each in leases}]
        for slot in free:
            lease = Lease(
                slot=slot, id=secrets.token_hex(4), name=name, who=str(event["who"])[:_NAME_LENGTH], until=until
            )
            try:
                self.leases.take(lease)
            except LeaseChanged:
                continue
            logger.info("slot %d: %s, until %s", slot, name, until)
            return lease
        holders = ", ".join(f"{each.name} until {each.until}" for each in leases)
        return ReleaseProblem("slot", f"all {len(self.slots)} are taken: {holders}", "end one of them, or wait")

    def _start(self, event: Mapping[str, Any]) -> Lease | ReleaseProblem | list[ReleaseProblem]:
        service, image = event["service"], event["image"]
        if service not in self.services:
            return ReleaseProblem("service", f"{service} has no previews", f"one of {', '.join(self.services)}")
        known = self.services[service]
        found = image_in(self.clients, service, known["repository"], image, platform=known["platform"])
        if isinstance(found, ReleaseProblem):
            return found
        if missing := list(unusable_secrets(self.clients, self.secrets)):
            return missing
        lease = self._take(event)
        if isinstance(lease, ReleaseProblem):
            return lease
        now = datetime.now(UTC)
        is_copied = lease.phase == "making" and datetime.fromisoformat(lease.asked or lease.until) > now - _LONGEST_COPY
        if is_copied or self._busy(self._slot(lease)):
            return ReleaseProblem(BUSY, f"{lease.name} is being deployed", "wait for it")
        wanted = self.leases.change(
            lease,
            lease.with_(
                images={**lease.images, service: image}, phase="making", asked=now.isoformat(timespec="seconds")
            ),
        )
        self._ask(self.itself, {"action": "deploy", "lease": wanted.id}, wait=False)
        return wanted

    def _end(self, event: Mapping[str, Any]) -> Lease | ReleaseProblem:
        for each in self.leases.all():
            if each.name == event["name"]:
                ending = self.leases.change(each, each.with_(phase="ending"))
                self._tend(ending)
                return ending
        return ReleaseProblem("name", f"there is no preview {event['name']!r}", "nothing")

    def _answer(self, found: Lease | ReleaseProblem | list[ReleaseProblem]) -> dict[str, Any]:
        if not isinstance(found, Lease):
            return {"problems": [asdict(each) for each in (found if isinstance(found, list) else [found])]}
        return {"problems": [], "preview": self._described(found)}

    def _described(self, lease: Lease) -> dict[str, Any]:
        """A lease, and how far it has come: state is `taken`, `copying`, `deploying`, `runs`, `failed` or `ending`."""
        release = self._settled(lease)
        slot = self._slot(lease)
        state = {"taken": "taken", "making": "copying", "ending": "ending"}.get(lease.phase)
        if state is None:
            state = {"running": "deploying", "succeeded": "runs", "failed": "failed"}[
                release.outcome if release else ""
            ]
        found: dict[str, Any] = {**asdict(lease), "urls": dict(slot.urls), "state": state}
        if release is not None and release.outcome == "failed":
            found |= {"reason": release.reason, "complaints": list(release.complaints)}
            refused = refusals(
                self.clients.client("logs"),
                self.database_log,
                since=datetime.fromisoformat(release.began),
                login=preview_names(lease.slot).owner,
            )
            why = [release.migration["reason"]] if "reason" in release.migration else []
            found |= {"lines": [*why, *release.migration.get("lines", []), *refused]}
        return found

    # -- what is done for it

    def _deploy(self, identity: str) -> None:
        """Once a database is there, the stack does the rest: migrations, checks, tasks."""
        if (lease := self._making(identity)) is None:
            return
        slot, wrong = self._slot(lease), None
        if not lease.has_database:
            try:
                self._ask(self.databases, {"action": "make", "slot": lease.slot}, wait=True)
            except RuntimeError as error:
                wrong = f"its database could not be made: {error}"
            # It may have been ended, or prolonged, while the database was made.
            if (lease := self._making(identity)) is None:
                return
        release = self._begun(lease, slot)
        self.leases.change(lease, lease.with_(has_database=wrong is None, phase="deployed", release=release.id))
        if wrong is None:
            images = {name: lease.images.get(name) or self._released(name) for name in self.services}
            try:
                self._update(slot, images=images, count=1, lease=lease.id, token=release.id)
            except ClientError as error:
                if _NOTHING_TO_DO in str(error):
                    self._finish(release, "succeeded", None)
                    return
                wrong = f"CloudFormation did not begin: {error}"
        if wrong is not None:
            self._finish(release, "failed", wrong)

    def _making(self, identity: str) -> Lease | None:
        return next((each for each in self.leases.all() if each.id == identity and each.phase == "making"), None)

    def tend_all(self) -> None:
        """From the schedule: ends expired previews and finishes what was begun. Raises at the end if a slot failed."""
        wrong = []
        for lease in self.leases.all():
            try:
                self._tend(lease)
            except Exception as error:  # One slot's failure must not affect the others.
                logger.exception("slot %d: %s", lease.slot, lease.name)
                wrong.append(f"slot {lease.slot}: {error}")
        if wrong:
            raise RuntimeError("; ".join(wrong))

    def _tend(self, lease: Lease) -> None:
        self._settled(lease)
        if lease.phase != "ending" and datetime.fromisoformat(lease.until) < datetime.now(UTC):
            logger.info("slot %d: %s has expired", lease.slot, lease.name)
            lease = self.leases.change(lease, lease.with_(phase="ending"))
        slot = self._slot(lease)
        if self._busy(slot):
            return
        if lease.phase == "ending":
            self._free(lease, slot)

    def _free(self, lease: Lease, slot: Slot) -> None:
        stack = stack_of(self.clients, slot.stack)
        values = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
        if values["Count"] != "0":
            bootstrap = {name: each["bootstrap"] for name, each in self.services.items()}
            self._update(slot, images=bootstrap, count=0, lease="none", token=f"end-{lease.id}")
            return
        self._ask(self.databases, {"action": "drop", "slot": lease.slot}, wait=True)
        self.leases.free(lease)
        logger.info("slot %d: %s has ended, and the slot is free", lease.slot, lease.name)

    def _settled(self, lease: Lease) -> Release | None:
        """The newest deployment into the slot. Records its end as soon as CloudFormation reports it."""
        name = preview_service(lease.slot)
        release = self.ledger.find(name, lease.release) if lease.release else None
        if release is None or release.outcome != "running":
            return release
        slot, began = self._slot(lease), datetime.fromisoformat(release.began)
        # Its status alone does not say so: the update may not have begun yet.
        status = end_of(self.clients, slot.stack, token=release.id, began=began)
        if status is None:
            return release
        if status == "UPDATE_COMPLETE":
            self._finish(release, "succeeded", None)
        else:
            self._finish(release, "failed", rollback_reason(self.clients, slot.stack, since=began) or status)
        return self.ledger.find(name, release.id)

    # -- how

    def _slot(self, lease: Lease) -> Slot:
        return next(each for each in self.slots if each.number == lease.slot)

    def _busy(self, slot: Slot) -> bool:
        return bool(stack_of(self.clients, slot.stack)["StackStatus"].endswith("_IN_PROGRESS"))

    def _released(self, service: str) -> str:
        found: str = self.clients.client("ssm").get_parameter(Name=self.services[service]["pointer"])["Parameter"][
            "Value"
        ]
        return found

    def _begun(self, lease: Lease, slot: Slot) -> Release:
        now = datetime.now(UTC)
        release = Release(
            service=preview_service(lease.slot),
            id=new_id(now, secrets.token_hex(3)),
            kind="release",
            image=", ".join(lease.images.values()),
            previous="",
            who=lease.who,
            began=now.isoformat(timespec="seconds"),
            template=slot.stack,
            note=lease.name,
        )
        self.ledger.begin(release)
        return release

    def _finish(self, release: Release, outcome: Any, reason: str | None) -> None:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        self.ledger.end(release.service, release.id, outcome=outcome, when=when, reason=reason)

    def _update(self, slot: Slot, *, images: Mapping[str, str], count: int, lease: str, token: str) -> None:
        values = {f"{words(name)}Image": image for name, image in images.items()}
        values |= {"Count": str(count), "Lease": lease}
        stack = stack_of(self.clients, slot.stack)
        kept = {each["ParameterKey"] for each in stack["Parameters"]} - set(values)
        self.clients.client("cloudformation").update_stack(
            StackName=slot.stack,
            UsePreviousTemplate=True,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
            + [{"ParameterKey": key, "UsePreviousValue": True} for key in sorted(kept)],
            Capabilities=stack.get("Capabilities", []),
            ClientRequestToken=token,
        )

    def _ask(self, function: str, event: Mapping[str, Any], *, wait: bool) -> None:
        """Raises `RuntimeError` with what it says when it is waited for and fails."""
        answer = self.clients.client("lambda", config=_PATIENCE).invoke(
            FunctionName=function,
            InvocationType="RequestResponse" if wait else "Event",
            Payload=json.dumps(event).encode(),
        )
        if "FunctionError" in answer:
            error = json.loads(answer["Payload"].read().decode()).get("errorMessage", "")
            raise RuntimeError(f"{function}: {error}")
