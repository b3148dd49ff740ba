"""Runs the checks one after the other, prints what each found, and records the vendors' answers."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import httpx
from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table
from rich.text import Text

from infra_runtime.cloudflare import zone as zones
from infra_runtime.vendor_api import Clock, VendorError
from ops.console import Console
from ops.edge.zone import EdgeOf
from ops.errors import InputError, OperatorError
from ops.report import print_json
from ops.verify.checks import CHECKS, LiveCheck
from ops.verify.live import Internet, Live, NotHere, PublicVisitor, Refuted, identity
from ops.verify.recording import Recording, dump, public_names

Verdict = Literal["held", "refuted", "not here"]
_STYLE = {"held": "green", "refuted": "red", "not here": "dim"}


@dataclass(frozen=True, kw_only=True)
class VerifiedAssumption:
    check: str
    assumption: str
    if_wrong: str
    verdict: Verdict | None = None
    """None without --live: nothing was tried. `not here`: the environment has nothing to try it with."""
    seen: str | None = None
    """What was found; None without --live."""

    @classmethod
    def of(cls, check: LiveCheck, verdict: Verdict | None = None, seen: str | None = None) -> "VerifiedAssumption":
        return cls(check=check.name, assumption=check.assumption, if_wrong=check.if_wrong, verdict=verdict, seen=seen)


def chosen(names: Sequence[str]) -> list[LiveCheck]:
    """Raises `InputError`."""
    known = {each.name: each for each in CHECKS}
    for name in names:
        if name not in known:
            raise InputError(f"--only {name!r}: expected one of {', '.join(known)}")
    return [known[name] for name in names] if names else list(CHECKS)


def explain(checks: Sequence[LiveCheck], console: Console, *, as_json: bool) -> None:
    """What would be tried."""
    if as_json:
        print_json([VerifiedAssumption.of(each) for each in checks])
        return
    table = Table(title="infra verify ENV --live tries, in a deployed environment:", title_justify="left")
    for heading in ("check", "assumption", "if it is wrong"):
        table.add_column(heading, overflow="fold")
    for each in checks:
        table.add_row(each.name, each.assumption, each.if_wrong)
    console.print(table)


def verify(
    edge: EdgeOf,
    console: Console,
    *,
    checks: Sequence[LiveCheck],
    into: Path,
    visitor: PublicVisitor | None = None,
    clock: Clock | None = None,
) -> list[VerifiedAssumption]:
    """Writes `into`/DATE-ENVIRONMENT.json."""
    began, outcomes = datetime.now(UTC), []
    recording = Recording(public_names(edge.environment.aws.account, edge.environment.domains.zone, *_ids(edge)))
    recording.follow(edge.session)
    edge.api.http.event_hooks["response"].append(recording.cloudflare)
    records = []
    for check in checks:
        recording.answers = []
        verdict, seen = _tried(check, edge, visitor or Internet(recording), clock or Clock())
        outcomes.append(VerifiedAssumption.of(check, verdict, seen))
        plain = recording.plain(seen)
        records.append({"check": check.name, "verdict": verdict, "seen": plain, "answers": recording.answers})
        console.print(Text.assemble((f"{verdict:>8}", _STYLE[verdict]), f"  {check.name}: {seen}"))
    into.mkdir(parents=True, exist_ok=True)
    file = into / f"{began:%Y-%m-%d}-{edge.name}.json"
    document = {"began": began.isoformat(timespec="seconds"), "region": edge.environment.aws.region, "checks": records}
    file.write_text(dump(document))
    console.print(f"What AWS and Cloudflare answered: {file}", highlight=False)
    return outcomes


def _ids(edge: EdgeOf) -> tuple[str, ...]:
    """Ids of the zone and of its account."""
    zone = zones.find(edge.api, edge.environment.domains.zone)
    return zone.id, zone.account


def _tried(check: LiveCheck, edge: EdgeOf, visitor: PublicVisitor, clock: Clock) -> tuple[Verdict, str]:
    """(verdict, what was found). A vendor's refusal or silence refutes the assumption, too."""
    try:
        with ExitStack() as cleanup:
            live = Live(edge.name, edge.environment, edge.session, edge, visitor, identity(), cleanup, clock)
            return "held", check.try_it(live)
    except NotHere as reason:
        return "not here", str(reason)
    except (Refuted, OperatorError, BotoCoreError, ClientError, VendorError, httpx.HTTPError) as error:
        return "refuted", " ".join(str(error).split())[:500]
