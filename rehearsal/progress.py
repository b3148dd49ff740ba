"""Progress of a rehearsal, for the person who watches it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.table import Table

from ops.console import Console
from rehearsal.account import Account
from rehearsal.checks import CheckResult, Status

_COLOURS = {
    Status.PASSED: "green",
    Status.FAILED: "red",
    Status.NOT_SHOWN: "yellow",
    Status.NOT_ON_THIS_PLAN: "dim",
}
_POLL_SECONDS = 0.3
_NOTICED_SECONDS = 0.5


class Progress:
    """Prints the current step, and each finished stack with its number of resources and its duration."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.failures: list[str] = []

    def title(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/]")

    def said(self, text: str) -> None:
        self._console.print(f"  {text}", highlight=False)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        started = time.monotonic()
        self._console.print(f"  [cyan]…[/] {text}", highlight=False)
        yield
        self._console.print(f"  [green]✓[/] {text} [dim]({time.monotonic() - started:.1f} s)[/]", highlight=False)

    @contextmanager
    def stacks(self, account: Account) -> Iterator[None]:
        """Reports each stack as it finishes, while the block runs."""
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(account, over), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join(timeout=5)

    def _watch(self, account: Account, over: threading.Event) -> None:
        before, polled = account.stacks(), time.monotonic()
        began: dict[str, float] = {}
        while True:
            is_last = over.is_set()
            now = account.stacks()
            for name in sorted({*before, *now}):
                status = now.get(name, "DELETE_COMPLETE")
                if status.endswith("_IN_PROGRESS"):
                    began.setdefault(name, polled)
                elif status != before.get(name):
                    count = self._count(account, name) if name in now else ""
                    seconds = time.monotonic() - began.pop(name, polled)
                    self.said(f"    {name:40} {status:25} {count:>14} [dim]{seconds:4.1f} s[/]")
            before, polled = now, time.monotonic()
            if is_last:
                return
            over.wait(_POLL_SECONDS)

    @staticmethod
    def _count(account: Account, name: str) -> str:
        pages = account.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
        return f"{sum(len(page['StackResourceSummaries']) for page in pages)} resources"

    def read(self, finding: CheckResult, seconds: float) -> None:
        """Prints a check that took half a second or longer; `table` shows all of them."""
        if seconds >= _NOTICED_SECONDS:
            self.said(f"    {escape(f'{finding.about}: {finding.requirement}'):80} [dim]{seconds:4.1f} s[/]")

    def table(self, findings: list[CheckResult]) -> None:
        table = Table(title="Requirements, and what was found", title_justify="left", expand=False)
        for heading in ("about", "requirement", "", "found"):
            table.add_column(heading, overflow="fold")
        for finding in findings:
            table.add_row(
                finding.about,
                finding.requirement,
                f"[{_COLOURS[finding.status]}]{finding.status}[/]",
                escape(finding.found),
            )
            if finding.status is Status.FAILED:
                self.failures.append(f"{finding.about}: {finding.requirement}: {finding.found}")
        self._console.print(table)

    def check(self, what: str, holds: bool, found: str) -> None:
        """Prints the result of a check; a failed one makes the rehearsal fail at its end."""
        mark = "[green]✓[/]" if holds else "[red]✗ FAILED[/]"
        self._console.print(f"  {mark} {what}: {escape(found)}", highlight=False)
        if not holds:
            self.failures.append(f"{what}: {found}")
