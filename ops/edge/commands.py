"""`infra edge`: output is a table for people or JSON for programs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import typer
from rich.table import Table
from rich.text import Text

from config import services
from config.model import Environment
from infra_runtime.cloudflare.converge import Change, Conflict, Observed, converge, is_wanted, undeclared_fields
from infra_runtime.cloudflare.purge import prefixes
from infra_runtime.cloudflare.purge import purge as purge_prefixes
from infra_runtime.contract.cloudflare_workers import MEDIA_SECONDS
from ops.console import Console
from ops.edge.synthesized import declarations
from ops.edge.zone import EdgeOf, opened
from ops.errors import FINDINGS, InputError, OperatorError
from ops.progress import working
from ops.report import print_json

_STYLE = {"create": "green", "update": "yellow", "move": "yellow", "restore": "yellow", "delete": "red"}
_GLANCE = 100
_COMPARES = "comparing the zone"


@dataclass(frozen=True)
class DeclarationFinding:
    """About one declaration."""

    declaration: str
    changes: list[Change]
    problem: str | None = None
    undeclared: Mapping[str, list[str]] = field(default_factory=dict)
    """Fields that are set but not declared, by object: information, no drift."""


@dataclass(frozen=True)
class ReportedChange:
    """A change in the JSON output. Secrets are asterisks."""

    action: str
    """create, update, move, delete or restore."""
    what: str
    """Kind and marker, like "rule production.media-cache"."""
    before: Any
    after: Any


@dataclass(frozen=True)
class Reported:
    """One declaration."""

    problem: str | None
    """Why it cannot be compared, or applied."""
    changes: list[ReportedChange]
    undeclared: Mapping[str, list[str]]
    """Fields that are set but not declared, by object: no drift."""


@dataclass(frozen=True)
class ObservedObject:
    """A rule, record or setting of the zone. Secrets are asterisks."""

    what: str
    ours: bool
    value: Any


def plan(name: str, environment: Environment, console: Console, *, as_json: bool) -> None:
    """Includes deletions: declarations that are deployed and not in the code any more."""
    with opened(name, environment) as edge, working(_COMPARES):
        wanted = dict(declarations(name, edge.session))
        deployed = edge.store.all("declared")
        findings = [
            _compare(edge, key, document, present=True)
            if document is not None
            else DeclarationFinding(key, [], "waits for something that is not deployed yet")
            for key, document in wanted.items()
        ]
        # No deployment removes the maintenance page, which a person has switched on for a time.
        gone = {key: each for key, each in deployed.items() if key not in wanted and "until" not in each}
        findings += [_compare(edge, key, each, present=False) for key, each in gone.items()]
    report(edge, findings, console, "would change", as_json=as_json)


def drift(name: str, environment: Environment, console: Console, *, as_json: bool) -> None:
    with opened(name, environment) as edge, working(_COMPARES):
        findings = list(drifts(edge))
    report(edge, findings, console, "has drifted", as_json=as_json)


def drifts(edge: EdgeOf) -> Iterator[DeclarationFinding]:
    """One for each deployed declaration, with or without a difference."""
    for key, document in edge.deployed().items():
        subject = edge.subject(document)
        others = undeclared_fields(subject, subject.observed())
        present = is_wanted(document, datetime.now(UTC))
        yield replace(_compare(edge, key, document, present=present), undeclared=others)


def show(name: str, environment: Environment, console: Console, *, as_json: bool) -> None:
    with opened(name, environment) as edge, working(_COMPARES):
        observed = {key: edge.subject(document).observed() for key, document in edge.deployed().items()}
    if as_json:
        print_json({key: [_observed(edge, each) for each in found] for key, found in observed.items()})
        return
    table = Table(title=f"{environment.domains.zone}, as {name} sees it", title_justify="left")
    for heading in ("declaration", "whose", "object", "what it is"):
        table.add_column(heading, overflow="fold")
    for key, found in observed.items():
        for at, each in enumerate(found):
            whose = Text("ours", "green") if each.is_ours else Text("others'", "dim")
            table.add_row(key if at == 0 else "", whose, each.what, _glance(_short(_redacted(edge, each.value))))
    console.print(table)


def apply(name: str, environment: Environment, console: Console) -> None:
    with opened(name, environment) as edge:
        for key, document in edge.deployed().items():
            try:
                present = is_wanted(document, datetime.now(UTC))
                written = converge(edge.api, edge.subject(document), present=present)
            except Conflict as conflict:
                raise OperatorError(f"{key}: {conflict}") from None
            console.print(f"{key}: {f'{written} changes written' if written else 'as declared'}", highlight=False)


def purge(name: str, environment: Environment, urls: list[str], console: Console, *, everything: bool) -> None:
    """`urls` of this environment; with `everything`, all objects of its media host. Raises `InputError`."""
    media = environment.domains.media
    if bool(urls) == everything:
        raise InputError(f"expected URLs, or --all for every object of {media}")
    ours = [media, *services.hosts(environment).values()]
    wanted = [media] if everything else []
    for each in urls:
        url = urlsplit(each if "://" in each else f"https://{each}")
        if url.hostname not in ours:
            raise InputError(f"{each}: expected a URL of {', '.join(ours)}")
        if not url.path.strip("/"):
            raise InputError(f"{each}: expected a URL with a path; --all purges every object of {media}")
        wanted += prefixes(url.hostname, unquote(url.path).lstrip("/"))
    if environment.media.origin == "worker" and any(each.partition("/")[0] == media for each in wanted):
        raise InputError(
            f"{media}: no purge reaches Workers Cache (media.origin). It asks S3 again after {MEDIA_SECONDS} seconds"
        )
    with opened(name, environment) as edge:
        purge_prefixes(edge.api, edge.zone.id, wanted)
    for each in wanted:
        console.print(f"purged {each}", highlight=False)
    console.print("Browsers keep what they have: media for up to a week.", highlight=False)


def _compare(edge: EdgeOf, key: str, document: Mapping[str, Any], *, present: bool) -> DeclarationFinding:
    try:
        return DeclarationFinding(key, edge.subject(document).changes(present=present))
    except Conflict as conflict:
        return DeclarationFinding(key, [], str(conflict))


def report(edge: EdgeOf, findings: list[DeclarationFinding], console: Console, what: str, *, as_json: bool) -> None:
    """Raises `typer.Exit` with `FINDINGS` when there is a change or a problem; undeclared fields are neither."""
    found = [each for each in findings if each.changes or each.problem]
    if as_json:
        print_json(
            {
                each.declaration: Reported(each.problem, [_change(edge, one) for one in each.changes], each.undeclared)
                for each in findings
            }
        )
    elif not found:
        console.print(f"{edge.name}: nothing {what}; {len(findings)} declarations compared", highlight=False)
    else:
        console.print(_table(edge, found, what))
    if not as_json:
        for each in findings:
            for which, fields in each.undeclared.items():
                line = f"for information: {which} has fields that are not declared: {', '.join(fields)}"
                console.print(line, highlight=False)
    if found:
        raise typer.Exit(FINDINGS)


def _table(edge: EdgeOf, findings: list[DeclarationFinding], what: str) -> Table:
    table = Table(title=f"{edge.name}: what {what} in {edge.environment.domains.zone}", title_justify="left")
    for heading in ("declaration", "", "object", "now", "then"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        if finding.problem:
            table.add_row(finding.declaration, Text("stops", "red"), finding.problem, "", "")
        for change in finding.changes:
            before, after = _differing(change.before, change.after)
            table.add_row(
                finding.declaration,
                Text(change.action, _STYLE[change.action]),
                change.what,
                _short(_redacted(edge, before)),
                _short(_redacted(edge, after)),
            )
    return table


def _differing(before: Any, after: Any) -> tuple[Any, Any]:
    """The parts in which two documents of the same shape differ."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return before, after
    different = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    pairs = {key: _differing(before.get(key), after.get(key)) for key in different}
    return {key: pair[0] for key, pair in pairs.items()}, {key: pair[1] for key, pair in pairs.items()}


def _short(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _glance(text: str) -> str:
    """The text, shortened; --json prints all of it."""
    return text if len(text) <= _GLANCE else f"{text[: _GLANCE - 1]}…"


def _change(edge: EdgeOf, change: Change) -> ReportedChange:
    what, before, after = (_redacted(edge, each) for each in (change.what, change.before, change.after))
    return ReportedChange(change.action, what, before, after)


def _observed(edge: EdgeOf, observed: Observed) -> ObservedObject:
    return ObservedObject(observed.what, observed.is_ours, _redacted(edge, observed.value))


def _redacted(edge: EdgeOf, node: Any) -> Any:
    """Text by text and not as one document: a secret may hold what JSON writes otherwise."""
    match node:
        case str():
            return edge.secrets.redact(node)
        case Mapping():
            return {key: _redacted(edge, value) for key, value in node.items()}
        case list() | tuple():
            return [_redacted(edge, each) for each in node]
        case _:
            return node
