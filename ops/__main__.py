"""`infra`: the operator's command for a deployed environment."""

import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError

from config import InvalidEnvironments, available, clashes, load, neighbours, services
from config.model import Environment
from infra_runtime.contract.revision import BUSYBOX
from ops import (
    addresses,
    alarms,
    change,
    doctor,
    drift,
    explain,
    game_days,
    ids,
    logs,
    progress,
    restart,
    review,
    sandbox,
)
from ops import status as status_
from ops.account import explained, session_of
from ops.console import Console
from ops.db import commands as db_commands
from ops.db.commands import DatabasePlace
from ops.edge import commands
from ops.edge.zone import open_edge, opened
from ops.errors import FINDINGS, InputError, OperatorError
from ops.github import commands as github_commands
from ops.jobs import commands as job_commands
from ops.jobs.commands import JobPlace
from ops.maintenance import commands as maintenance_commands
from ops.previews import commands as preview_commands
from ops.previews.commands import PreviewSlots
from ops.progress import working
from ops.redis import commands as redis_commands
from ops.redis import rotation as redis_rotation
from ops.redis.rotation import ElastiCacheRotation
from ops.releases import commands as releases_
from ops.releases import one_off
from ops.releases.target import ReleaseTarget
from ops.report import print_json, report
from ops.restores import commands as restores
from ops.restores import drills as restore_drills
from ops.restores import objects, tables
from ops.restores.drills import Drills
from ops.restores.instances import Instances
from ops.restores.objects import MediaBucket
from ops.secrets import commands as secret_commands
from ops.secrets.commands import SecretPlace
from ops.templates import ROOT
from ops.upgrades import commands as upgrades
from ops.verify import commands as verification

EXIT_CODES = (
    "Exit codes: 0 success; 1 AWS or Cloudflare refused, or the operation failed; 2 wrong input;"
    " 3 the command found something (drift, a finding, a firing alarm, a refuted assumption)."
)


class _Group(typer.core.TyperGroup):
    """Each command's help ends with the exit codes."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            found.epilog = EXIT_CODES
        return found


app = typer.Typer(cls=_Group, no_args_is_help=True, pretty_exceptions_enable=False, epilog=EXIT_CODES)
edge = typer.Typer(cls=_Group, no_args_is_help=True, help="The Cloudflare zone: plan, drift, apply, purge.")
app.add_typer(edge, name="edge")
redis = typer.Typer(cls=_Group, no_args_is_help=True, help="Check Redis, read from it, replace its password.")
app.add_typer(redis, name="redis")
preview = typer.Typer(cls=_Group, no_args_is_help=True, help="Previews of pull requests, each with its own database.")
app.add_typer(preview, name="preview")
egress = typer.Typer(cls=_Group, no_args_is_help=True, help="How much traffic the cache can save.")
app.add_typer(egress, name="egress")

job = typer.Typer(cls=_Group, no_args_is_help=True, help="Scheduled jobs.")
app.add_typer(job, name="job")

restore = typer.Typer(cls=_Group, no_args_is_help=True, help="Point-in-time recovery of the database and of media.")
app.add_typer(restore, name="restore")
database = typer.Typer(cls=_Group, no_args_is_help=True, help="Major versions of PostgreSQL.")
app.add_typer(database, name="database")
maintenance = typer.Typer(
    cls=_Group, no_args_is_help=True, help="A maintenance page at the edge and muted alarms, until a given time."
)
app.add_typer(maintenance, name="maintenance")
db = typer.Typer(cls=_Group, no_args_is_help=True, help="PostgreSQL with your own login, read-only unless --write.")
app.add_typer(db, name="db")
secret = typer.Typer(
    cls=_Group, no_args_is_help=True, help="Secrets that the environment's file names. Never prints values."
)
app.add_typer(secret, name="secret")

change_ = typer.Typer(cls=_Group, no_args_is_help=True, help="Changes that take more than one deployment.")
app.add_typer(change_, name="change")

gameday = typer.Typer(
    cls=_Group, no_args_is_help=True, help="Experiments that break something on purpose, within stated bounds."
)
app.add_typer(gameday, name="gameday")
practice = typer.Typer(cls=_Group, no_args_is_help=True, help="The sandbox of this clone, which `make sandbox` starts.")
app.add_typer(practice, name="sandbox")


def _environments() -> list[str]:
    """Environments, for the shell's completion."""
    return list(available())


Name = Annotated[
    str, typer.Argument(help=f"One of {', '.join(available())}.", metavar="ENV", autocompletion=_environments)
]


def _services(ctx: typer.Context) -> list[str]:
    """Services of the environment that is typed already, for the shell's completion."""
    # After an option without its value, the arguments are not parsed yet.
    name = next((each for each in (ctx.params.get("environment"), *ctx.args) if each in available()), None)
    return list(load([name], is_deployed=True)[name].services) if name else []


_ONLY_ONE = "Name in the environment's file; not needed if there is only one."
Service = Annotated[str | None, typer.Option(help=_ONLY_ONE, autocompletion=_services)]
ServiceName = Annotated[str | None, typer.Argument(help=_ONLY_ONE, metavar="SERVICE", autocompletion=_services)]
Note = Annotated[str | None, typer.Option(help="Reason or commit, for the ledger.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.callback()
def infra() -> None:
    """Operate a deployed environment."""


@app.command()
def release(
    environment: Name,
    image: Annotated[
        str | None, typer.Option(help="By digest: REPOSITORY@sha256:…, of this environment's own registry.")
    ] = None,
    service: Service = None,
    note: Note = None,
    *,
    check: Annotated[bool, typer.Option("--check", help="Check only; release nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Let pipelines release again after a rollback.")] = False,
) -> None:
    """Release an image of a service, blue/green, and follow the release to its end."""
    if resume == (image is not None):
        raise InputError("--image: expected it, or --resume, and not both")
    with _place(environment, service) as place:
        if image is None:
            releases_.resume(place, Console())
            return
        releases_.release(place, image, Console(), note=note, check_only=check)


@app.command()
def releases(environment: Name, service: Service = None, as_json: AsJson = False) -> None:
    """List releases: image, who released it, outcome and reason."""
    with _place(environment, service) as place:
        releases_.show(place, Console(), as_json=as_json)


@app.command()
def rollback(
    environment: Name,
    release: Annotated[
        str | None,
        typer.Argument(help="Id of a successful release. Default: the previous one.", metavar="RELEASE"),
    ] = None,
    service: Service = None,
    accept_schema: Annotated[
        bool,
        typer.Option("--accept-schema", help="Roll back even if the schema lacks something that this version needs."),
    ] = False,
    note: Note = None,
) -> None:
    """Stop a running release, or release the previous successful version. Works at any moment."""
    with _place(environment, service) as place:
        releases_.rollback(place, release, Console(), accept_schema=accept_schema, note=note)


@app.command()
def status(
    environment: Name,
    service: Service = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Update every five seconds, until Ctrl-C.")] = False,
) -> None:
    """Show each service (images, stage, start, who released it) and every firing alarm with its runbook."""
    if watch and as_json:
        raise InputError("--watch and --json: expected one of them")
    found = _environment(environment)
    shown = [service] if service else list(services.with_own_stack(found))
    with _explained(environment, found):
        session = session_of(environment, found)
        read = partial(status_.environment_status, environment, found, session, services=shown)
        if watch:
            status_.watch(environment, read, Console())
        else:
            with working(f"asking AWS about {environment}"):
                status = read()
            status_.show(environment, status, Console(), as_json=as_json)


@app.command()
def follow(environment: Name, service: ServiceName = None) -> None:
    """Follow a running release, yours or another operator's. Exits with 1 if it fails."""
    found = _environment(environment)
    with _explained(environment, found):
        session = session_of(environment, found)
        known = [service] if service else list(services.released(found))
        places = [ReleaseTarget(environment, found, each, session) for each in known]
        moving = places if len(places) == 1 else releases_.under_way(places)
        if len(moving) != 1:
            which = ", ".join(each.service for each in moving) or "none"
            raise InputError(f"SERVICE is missing: expected one of {', '.join(known)}; releases under way: {which}")
        releases_.follow(moving[0], Console())


@app.command(name="alarms")
def alarms_(environment: Name, as_json: AsJson = False) -> None:
    """List firing alarms, most severe first, each with its runbook. Exit code 3 if one fires."""
    found = _environment(environment)
    with _explained(environment, found):
        session = session_of(environment, found)
        with working(f"asking CloudWatch about {environment}"):
            firing = alarms.firing(session, found.product, environment)
    report(firing, "no alarm fires", Console(), as_json=as_json)


@app.command(name="logs")
def logs_(
    environment: Name,
    what: Annotated[
        str | None,
        typer.Argument(help="A service, a stack, `database`, or a part of a function's name.", metavar="WHAT"),
    ] = None,
    *,
    since: Annotated[str, typer.Option(help="15m, 2h, 1d, or a time like 2026-11-26T07:59:59Z.")] = "15m",
    grep: Annotated[str | None, typer.Option(help="Only lines with this text, case-sensitive.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Keep printing new lines until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print logs of services, functions and PostgreSQL, merged by time. Default: all services."""
    start = logs.since(since, now=datetime.now(UTC))
    found = _environment(environment)
    with _explained(environment, found):
        of = logs.Logs(environment, found, session_of(environment, found))
        logs.show(of, what, Console(), start=start, grep=grep, follow=follow, as_json=as_json)


@app.command(name="id")
def id_(
    environment: Name,
    what: Annotated[
        str, typer.Argument(help="A kind of resource; with several of it, also a part of the name.", metavar="WHAT")
    ],
) -> None:
    """Print the name or ARN of a resource for the AWS CLI: database, cluster, function/drift, …"""
    found = _environment(environment)
    with _explained(environment, found):
        print(ids.physical_id(environment, found, session_of(environment, found), what))


@app.command()
def call(
    environment: Name,
    function: Annotated[str, typer.Argument(help="A part of its name, like drift.", metavar="FUNCTION")],
) -> None:
    """Invoke a scheduled Lambda function now, with its schedule's input, and print its answer."""
    found = _environment(environment)
    with _explained(environment, found):
        ids.call(environment, found, session_of(environment, found), function, Console())


@app.command(name="restart")
def restart_(
    environment: Name, service: Annotated[str, typer.Argument(metavar="SERVICE", autocompletion=_services)]
) -> None:
    """Replace a service's tasks by new ones with the same image. Old tasks serve until the new ones do."""
    found = _environment(environment)
    with _explained(environment, found):
        restart.restart(environment, found, service, session_of(environment, found), Console())


@app.command(name="open")
def open_(
    environment: Name,
    what: Annotated[
        str, typer.Argument(help="A service, or dashboard, alarms, cloudflare, sentry.", metavar="WHAT")
    ] = "dashboard",
) -> None:
    """Print the address of a service or a console, and open it in the browser. Needs no credentials."""
    address = addresses.address(environment, _environment(environment), what)
    print(address)
    webbrowser.open(address)


@app.command(name="review")
def review_(
    base: Annotated[str, typer.Argument(help="Commit to compare with.", metavar="BASE")],
    as_json: AsJson = False,
) -> None:
    """Print the effects of deploying this code over the commit BASE, as Markdown. Needs no account.

    Exit code 3 if any of it is impossible, or dangerous and not acknowledged in a commit message since BASE.
    """
    review.show(review.review(base), as_json=as_json)


@app.command(name="effects")
def effects_(
    environment: Name,
    approved: Annotated[
        str,
        typer.Option(help="The approved plan, from the last line of the output. Exit code 3 if the plan has changed."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Print the effects of deploying this code now, as Markdown. Exit code 3 as for `review`."""
    found = _environment(environment)
    with _explained(environment, found):
        reviewed = review.deployed(environment, found, session_of(environment, found))
    review.show(reviewed, as_json=as_json, approved=approved)


@app.command(name="explain")
def explain_(environment: Name, as_json: AsJson = False) -> None:
    """Print why a stack's last deployment failed, and the lines that declare it. Exit code 3 if one failed."""
    found = _environment(environment)
    with _explained(environment, found):
        explain.explain(environment, found, session_of(environment, found), Console(), as_json=as_json)


@change_.command(name="plan")
def change_plan(environment: Name, as_json: AsJson = False) -> None:
    """List the steps from the deployed state to the file's, in order. Exit code 3 if there are any."""
    _change(environment, only_next=False, as_json=as_json)


@change_.command(name="next")
def change_next(environment: Name, as_json: AsJson = False) -> None:
    """Print the next step and its command. Exit code 3 if there is one."""
    _change(environment, only_next=True, as_json=as_json)


def _change(environment: str, *, only_next: bool, as_json: bool) -> None:
    found = _environment(environment)
    with _explained(environment, found):
        clients = session_of(environment, found)
        change.change(environment, found, clients, Console(), only_next=only_next, as_json=as_json)


@app.command(name="drift")
def drift_(environment: Name, as_json: AsJson = False) -> None:
    """List changes by hand in AWS since the deployment. Exit code 3 if there are any."""
    found = _environment(environment)
    with _explained(environment, found):
        drift.drift(environment, found, session_of(environment, found), Console(), as_json=as_json)


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    environment: Name,
    command: Annotated[list[str], typer.Argument(help="Command after --, for example: -- node scripts/fix.mjs")],
    service: Service = None,
) -> None:
    """Run a command in a new task with the service's image and variables; exits with its exit code."""
    with _place(environment, service) as place:
        code = one_off.run(place, command, Console())
    raise typer.Exit(code)


@app.command(name="exec")
def exec_(
    environment: Name,
    command: Annotated[str, typer.Option(help="Command to run in the terminal.")] = f"{BUSYBOX} sh",
    service: Service = None,
) -> None:
    """Open a terminal in a new task with the service's image and variables. It serves no users."""
    with _place(environment, service) as place:
        code = one_off.shell(place, command, Console())
    raise typer.Exit(code)


@app.command(name="doctor")
def doctor_(
    environment: Name,
    fix: Annotated[
        bool, typer.Option("--fix", help="Create service-linked roles and request quotas; nothing else.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check everything that could stop a deployment, including the first one. Exit code 3 if something does."""
    found = _environment(environment)
    with _explained(environment, found):
        session, console = session_of(environment, found), Console(stderr=as_json)
        others, against = neighbours(environment), clashes(environment)
        doctor.doctor(environment, found, session, console, others=others, clashes=against, fix=fix, as_json=as_json)


@app.command(name="verify")
def verify_(
    environment: Name,
    live: Annotated[bool, typer.Option("--live", help="Test them now, in the deployed environment.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Name of one check; may be repeated.")] = None,
    into: Annotated[Path, typer.Option(help="Folder for the file with the vendors' answers.")] = ROOT / "evidence",
    as_json: AsJson = False,
) -> None:
    """Test the costliest assumptions about AWS and Cloudflare in the deployed environment. Exit code 3 if one is wrong.

    Without --live, only lists them. With it, takes up to an hour, creates what it needs and deletes it again.
    """
    found, checks = _environment(environment), verification.chosen(only or [])
    if not live:
        verification.explain(checks, Console(), as_json=as_json)
        return
    with _explained(environment, found):
        # With --json, standard output is one document, so an hour's progress goes to standard error.
        console = Console(stderr=as_json)
        outcomes = verification.verify(open_edge(environment, found), console, checks=checks, into=into)
    if as_json:
        print_json(outcomes)
    if any(each.verdict == "refuted" for each in outcomes):
        raise typer.Exit(FINDINGS)


@app.command()
def github(
    environment: Name,
    put: Annotated[bool, typer.Option("--set", help="Apply them, with the token in GH_TOKEN or GITHUB_TOKEN.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the settings that the workflows need at GitHub, as commands for `gh`.

    With --set, exit code 3 if something is left to do by hand.
    """
    if put and as_json:
        raise InputError("--set and --json: expected one of them")
    found = _environment(environment)
    with _explained(environment, found):
        session = session_of(environment, found)
        if put:
            github_commands.put(environment, found, session, Console())
        else:
            github_commands.show(environment, found, session, as_json=as_json)


Reason = Annotated[str, typer.Option(help="Why; the log keeps it with person and time.")]
Write = Annotated[bool, typer.Option("--write", help="Also insert, update and delete rows.")]


@db.command(name="shell")
def db_shell(
    environment: Name,
    reason: Reason,
    command: Annotated[str | None, typer.Option(help="One SQL statement instead of a terminal.")] = None,
    *,
    write: Write = False,
) -> None:
    """Open psql; exits with its exit code. Needs psql, the AWS CLI and its Session Manager plugin."""
    with _database(environment) as place:
        code = db_commands.shell(place, "write" if write else "read", reason, command, Console())
    raise typer.Exit(code)


@db.command()
def dump(
    environment: Name,
    file: Annotated[
        Path, typer.Argument(help="File to write. It gets this name only when it is complete.", metavar="FILE")
    ],
    reason: Reason,
) -> None:
    """Copy the whole database to this machine, in pg_dump's custom format. It contains users' personal data."""
    with _database(environment) as place:
        db_commands.dump(place, file, reason, Console())


@db.command()
def tunnel(
    environment: Name,
    reason: Reason,
    port: Annotated[int, typer.Option(help="Local port. Default: a free one.")] = 0,
    *,
    write: Write = False,
) -> None:
    """Forward a local port to the database until Ctrl-C, for your own program."""
    with _database(environment) as place:
        db_commands.tunnel(place, "write" if write else "read", reason, port, Console())


@maintenance.command()
def on(
    environment: Name,
    until: Annotated[
        str, typer.Option(help="45m, 2h, or a time like 2026-11-26T07:59Z; from 5 minutes to 24 hours ahead.")
    ] = "1h",
    reason: Annotated[str | None, typer.Option(help="Why, for `infra status`.")] = None,
) -> None:
    """Answer 503 with Retry-After for site and API at Cloudflare, and mute all alarms. Run again to extend it.

    Our own checks pass. Visitors pass again, and alarms notify again, at that time by themselves.
    """
    ends = maintenance_commands.end(until, now=datetime.now(UTC))
    with opened(environment, _environment(environment)) as zone:
        maintenance_commands.on(zone, ends, reason, Console())


@maintenance.command()
def off(environment: Name) -> None:
    """End maintenance now and list the alarms that fire: they notify at once."""
    with opened(environment, _environment(environment)) as zone:
        maintenance_commands.off(zone, Console())


@maintenance.command(name="show")
def maintenance_show(environment: Name, as_json: AsJson = False) -> None:
    """Show who switched it on, start and end. Exit code 3 if it has drifted, or is over and still needs `off`."""
    with opened(environment, _environment(environment)) as zone:
        maintenance_commands.show(zone, Console(), as_json=as_json)


PreviewName = Annotated[
    str, typer.Argument(help="Name of the preview: the branch, so that all repositories share one.", metavar="NAME")
]


@preview.command(name="list")
def preview_list(environment: Name, as_json: AsJson = False) -> None:
    """List previews: slot, branch, state and expiry."""
    with _previews(environment) as previews:
        preview_commands.show(previews, Console(), as_json=as_json)


@preview.command()
def take(environment: Name, name: PreviewName, as_json: AsJson = False) -> None:
    """Reserve a slot and print its addresses, which the site's build needs."""
    with _previews(environment) as previews:
        preview_commands.take(previews, name, Console(), as_json=as_json)


@preview.command()
def start(
    environment: Name,
    name: PreviewName,
    image: Annotated[str, typer.Option(help="By digest: REPOSITORY@sha256:…, of this environment's own registry.")],
    service: Service = None,
    as_json: AsJson = False,
) -> None:
    """Run an image as a preview, on a copy of the database, and print its address."""
    with _previews(environment) as previews:
        chosen = _one_of(previews.environment, service)
        preview_commands.start(previews, name, chosen, image, Console(), as_json=as_json)


@preview.command()
def end(
    environment: Name,
    name: PreviewName,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until everything is deleted.")] = False,
) -> None:
    """End a preview and drop its database. Previews also end when they expire."""
    with _previews(environment) as previews:
        preview_commands.end(previews, name, Console(), wait=wait)


@job.command(name="list")
def job_list(environment: Name, as_json: AsJson = False) -> None:
    """List the last runs of each job, and why they failed."""
    with _jobs(environment) as jobs:
        job_commands.show(jobs, Console(), as_json=as_json)


@job.command(name="run")
def job_run(environment: Name, name: Annotated[str, typer.Argument(metavar="JOB")]) -> None:
    """Run a job now and wait for its end. Exit code 1 if its last attempt fails, or if it already runs."""
    # Before there are credentials: a wrong name is wrong without them, too.
    known = job_commands.known(environment, _environment(environment), name)
    with _jobs(environment) as jobs:
        job_commands.run(jobs, known, Console())


@secret.command(name="list")
def secret_list(environment: Name, as_json: AsJson = False) -> None:
    """List the secrets that the environment's file names, and which are missing."""
    found = _environment(environment)
    with _explained(environment, found):
        place = SecretPlace(environment, found, session_of(environment, found))
        secret_commands.show(place, Console(), as_json=as_json)


@secret.command(name="set")
def secret_set(
    environment: Name,
    name: Annotated[str, typer.Argument(help="As in the environment's file.", metavar="NAME[:FIELD]")],
    keep_previous: Annotated[
        bool, typer.Option("--keep-previous", help="Keep the old value in FIELD_previous: for signing keys.")
    ] = False,
) -> None:
    """Store a value from standard input, or from a hidden prompt (one line). With :FIELD, other fields stay."""
    found = _environment(environment)
    reference = secret_commands.chosen(found, name)
    with _explained(environment, found):
        place = SecretPlace(environment, found, session_of(environment, found))
        secret_commands.put(place, reference, secret_commands.typed(), Console(), keeps_previous=keep_previous)


@restore.command()
def point(
    environment: Name,
    to: Annotated[str, typer.Option(help="latest, or a time with its zone, like 2026-11-26T07:59:59Z.")],
    check: Annotated[bool, typer.Option("--check", help="Restore and verify only; do not switch.")] = False,
) -> None:
    """Restore the database to a new instance, verify its data and switch to it. Run again to resume."""
    now = datetime.now(UTC)
    wanted = restores.when(to, now=now)
    with _instances(environment) as instances:
        restores.point(instances, wanted, Console(), now=now, check_only=check)


@restore.command()
def back(environment: Name) -> None:
    """Switch back to the instance that the last restore replaced. Newer rows stay in the other one."""
    with _instances(environment) as instances:
        restores.back(instances, Console(), now=datetime.now(UTC))


@restore.command(name="list")
def restore_list(environment: Name, as_json: AsJson = False) -> None:
    """Show the instances of the database, the times to which each can be restored, and the last restore drills."""
    with _instances(environment) as instances:
        restore_drills.show_all(instances, Console(), as_json=as_json)


@restore.command()
def drill(environment: Name) -> None:
    """Restore the database beside the serving one, verify the data, measure RPO and RTO, and delete it again."""
    with _instances(environment) as instances:
        restore_drills.drill(Drills(environment, instances.environment, instances.clients), Console())


@restore.command(name="table")
def restore_table(
    environment: Name,
    table: Annotated[str, typer.Argument(metavar="TABLE")],
    instance: Annotated[
        str, typer.Option("--from", help="A restored or replaced instance: infra restore list ENV.", metavar="INSTANCE")
    ],
    schema: Annotated[str, typer.Option(help="Schema of the table.")] = "public",
) -> None:
    """Copy one table out of a restored instance into the database, under a new name. Run again to resume."""
    with _instances(environment) as instances:
        tables.copy(instances, table, schema, instance, Console())


@restore.command(name="objects")
def restore_objects(
    environment: Name,
    prefix: Annotated[
        str, typer.Argument(help="Prefix of keys in the media bucket, like avatars/. '' is the whole bucket.")
    ],
    to: Annotated[str, typer.Option(help="A time with its zone, like 2026-11-26T07:59:59Z: the end of that second.")],
    yes: Annotated[bool, typer.Option("--yes", help="Restore. Without it, only count.")] = False,
) -> None:
    """Restore media that was deleted or replaced since a time. Newer objects stay. Run again to resume."""
    now = datetime.now(UTC)
    wanted = restores.second(to, now=now)
    found = _environment(environment)
    with _explained(environment, found):
        media = MediaBucket(found, session_of(environment, found))
        objects.restore(media, prefix, wanted, Console(), now=now, is_confirmed=yes)


@database.command(name="upgrade")
def database_upgrade(
    environment: Name,
    to: Annotated[int | None, typer.Option(help="Major version of PostgreSQL, for example 18.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Copy and verify only; do not switch.")] = False,
    back: Annotated[
        bool, typer.Option("--back", help="Undo: delete the copy or, after the switch, switch back.")
    ] = False,
    lose_writes: Annotated[
        bool, typer.Option("--lose-writes", help="With --back after the switch: lose what was written since.")
    ] = False,
) -> None:
    """Copy the database to a new major version, verify the copy and switch to it. Run again to resume."""
    if back == (to is not None) or (back and check) or (lose_writes and not back):
        raise InputError("expected --to VERSION, with or without --check; or --back, with or without --lose-writes")
    with _instances(environment) as instances:
        if to is None:
            upgrades.back(instances, Console(), now=datetime.now(UTC), loses_writes=lose_writes)
        else:
            upgrades.upgrade(instances, to, Console(), check_only=check)


@gameday.command(name="list")
def gameday_list(environment: Name, as_json: AsJson = False) -> None:
    """List experiments: what happens, how many requests users may lose, which alarm fires."""
    game_days.show(environment, load([environment])[environment], Console(), as_json=as_json)


@gameday.command(name="run")
def gameday_run(
    environment: Name, experiment: Annotated[str, typer.Argument(help="Name from `infra gameday list`.")]
) -> None:
    """Run an experiment and follow it. Users may notice it; alarms stop it."""
    loaded = _environment(environment)
    with _explained(environment, loaded):
        place = game_days.GameDayPlace(environment, loaded, session_of(environment, loaded))
        game_days.run(place, experiment, Console())


@practice.command(name="break")
def sandbox_break(
    fault: Annotated[str, typer.Argument(help=f"One of {', '.join(sandbox.FAULTS)}.", metavar="FAULT")],
) -> None:
    """Cause a real fault in the sandbox."""
    if fault not in sandbox.FAULTS:
        raise InputError(f"FAULT {fault!r}: expected one of {', '.join(sandbox.FAULTS)}")
    print(sandbox.required().ask("break", fault))


@practice.command()
def repair() -> None:
    """Undo all faults in the sandbox."""
    print(sandbox.required().ask("repair"))


@practice.command(name="end")
def sandbox_end() -> None:
    """End the sandbox, even if it runs in the background."""
    print(sandbox.required().ask("end"))


@edge.command()
def plan(environment: Name, as_json: AsJson = False) -> None:
    """Show what deploying this code would change in the zone. Exit code 3 if it changes something."""
    commands.plan(environment, _environment(environment), Console(), as_json=as_json)


@edge.command(name="drift")
def edge_drift(environment: Name, as_json: AsJson = False) -> None:
    """Show what was changed in the zone since the deployment. Exit code 3 if something was."""
    commands.drift(environment, _environment(environment), Console(), as_json=as_json)


@edge.command()
def show(environment: Name, as_json: AsJson = False) -> None:
    """Show our rules and records, and others' in the same zone."""
    commands.show(environment, _environment(environment), Console(), as_json=as_json)


@edge.command()
def apply(environment: Name) -> None:
    """Undo the drift that `drift` shows, and nothing else."""
    commands.apply(environment, _environment(environment), Console())


@edge.command(name="purge")
def edge_purge(
    environment: Name,
    urls: Annotated[list[str] | None, typer.Argument(help="URLs of media or pages.", metavar="URL...")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything under the media host.")] = False,
) -> None:
    """Purge URLs from Cloudflare's cache, with every query string and origin."""
    commands.purge(environment, _environment(environment), urls or [], Console(), everything=everything)


@egress.command()
def model(
    *,
    objects: Annotated[
        int, typer.Option(min=100, max=200_000, help="Number of media objects that users request.")
    ] = 10_000,
    alpha: Annotated[
        float,
        typer.Option(min=0.1, max=2.0, help="Exponent of Zipf's law: how much more popular the popular objects are."),
    ] = 0.9,
    repeats: Annotated[
        float, typer.Option(min=0, max=99, help="Percent of requests that repeat an earlier one of the same visitor.")
    ] = 0.0,
    bypass: Annotated[float, typer.Option(min=0, max=99, help="Percent of requests that no cache can answer.")] = 0.0,
    plot: Annotated[Path | None, typer.Option(help="Also write a plot to this SVG file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Simulate how much traffic the cache saves the bucket. Needs no account, but needs the development tools."""
    try:
        from ops.egress import commands as egress_commands  # noqa: PLC0415
        from ops.egress.model import MediaTraffic  # noqa: PLC0415
    except ModuleNotFoundError as missing:  # numpy: a deployment's set-up leaves it out
        raise OperatorError(f"{missing.name} is not installed; run: make setup") from None
    traffic = MediaTraffic(
        requests_per_object=1, objects=objects, alpha=alpha, repeated_percent=repeats, bypass_percent=bypass
    )
    egress_commands.model(traffic, Console(), plot=plot, as_json=as_json)


@redis.command()
def url(as_json: AsJson = False) -> None:
    """Show how this shell's REDIS_URL, REDIS_PASSWORD, REDIS_TLS and REDIS_DB are read. Prints no secret."""
    redis_commands.url(os.environ, Console(), as_json=as_json)


@redis.command()
def check(
    environment: Annotated[
        str | None,
        typer.Argument(help="Check from inside the VPC. Default: REDIS_URL, from this machine.", metavar="ENV"),
    ] = None,
    instance: Annotated[str | None, typer.Option(help="Instance of ENV. Default: the serving one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ping Redis and write to it, like the probe. Exit code 3 if it cannot be used or is too slow."""
    if environment is None:
        redis_commands.check_here(os.environ, Console(), as_json=as_json)
    else:
        found = _environment(environment)
        redis_commands.check_there(environment, found, Console(), instance=instance, as_json=as_json)


@redis.command(context_settings={"ignore_unknown_options": True})
def ask(
    environment: Name,
    command: Annotated[
        list[str], typer.Argument(help="As redis-cli takes it: info memory, slowlog get 20, client list.")
    ],
    instance: Annotated[str | None, typer.Option(help="Instance of ENV. Default: the serving one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send a read-only command to each primary, from inside the VPC, and print the replies."""
    redis_commands.ask(environment, _environment(environment), command, Console(), instance=instance, as_json=as_json)


@redis.command()
def rotate(
    environment: Name,
    instance: Annotated[str | None, typer.Option(help="Instance of ENV. Default: the serving one.")] = None,
) -> None:
    """Give ElastiCache a new AUTH token; both are valid until all tasks use the new one. Run again to resume."""
    found = _environment(environment)
    name = redis_commands.instance_of(environment, found, instance)
    with _explained(environment, found):
        redis_rotation.rotate(ElastiCacheRotation(environment, found, name, session_of(environment, found)), Console())


@contextmanager
def _place(name: str, service: str | None) -> Iterator[ReleaseTarget]:
    environment = _environment(name)
    with _explained(name, environment):
        yield ReleaseTarget(name, environment, _one_of(environment, service), session_of(name, environment))


def _one_of(environment: Environment, service: str | None) -> str:
    """The service that was named, or the only one. Raises `InputError`."""
    known = list(services.released(environment))
    if service is None and len(known) != 1:
        raise InputError(f"--service is missing: expected one of {', '.join(known)}")
    return service or known[0]


@contextmanager
def _jobs(name: str) -> Iterator[JobPlace]:
    environment = _environment(name)
    with _explained(name, environment):
        yield JobPlace(name, environment, session_of(name, environment))


@contextmanager
def _instances(name: str) -> Iterator[Instances]:
    environment = _environment(name)
    with _explained(name, environment):
        yield Instances(name, environment, session_of(name, environment))


@contextmanager
def _database(name: str) -> Iterator[DatabasePlace]:
    environment = _environment(name)
    with _explained(name, environment):
        yield DatabasePlace(name=name, environment=environment, clients=session_of(name, environment))


@contextmanager
def _previews(name: str) -> Iterator[PreviewSlots]:
    environment = _environment(name)
    with _explained(name, environment):
        yield PreviewSlots(name, environment, session_of(name, environment))


@contextmanager
def _explained(name: str, environment: Environment) -> Iterator[None]:
    """Turns AWS's errors into `OperatorError`."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise explained(error, name, environment) from None


def _environment(name: str) -> Environment:
    sandbox.enter(name)
    return load([name], is_deployed=True)[name]


def main() -> None:
    """Exit codes: 2 for wrong input, 1 for what AWS or Cloudflare refuse, 3 for findings."""
    progress.show()
    try:
        app(prog_name="infra")
    except (InvalidEnvironments, InputError) as invalid:
        print(invalid, file=sys.stderr)
        sys.exit(2)
    except OperatorError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
