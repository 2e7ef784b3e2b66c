"""What the demo shows: numbered steps with their time, progress bars, a table of checks."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sim.demo.checks import Check


class Bar:
    """One progress bar; `show` moves it."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress = progress
        self._task = progress.add_task(label, total=None, note="")

    def show(self, done: int, total: int, note: str = "") -> None:
        """Set the bar to `done` of `total`, with a short note behind it."""
        self._progress.update(self._task, completed=done, total=max(total, 1), note=note)


class Screen:
    """Writes to one console; remembers how long each step took."""

    def __init__(self, console: Console) -> None:
        self.console: Final = console
        self.timings_s: Final[dict[str, float]] = {}

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step and say afterwards how long it took."""
        started_s = time.monotonic()
        number = len(self.timings_s) + 1
        self.console.print(f"[bold]{number:>2}[/] {title}", highlight=False)
        yield
        self.timings_s[title] = time.monotonic() - started_s
        self.console.print(f"   [dim]{self.timings_s[title]:.1f} s[/]", highlight=False)

    @contextmanager
    def bar(self, label: str) -> Iterator[Bar]:
        """Show a progress bar while the block runs."""
        columns = (
            TextColumn("   {task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield Bar(progress, label)

    def say(self, line: str) -> None:
        """Print one line below the current step."""
        self.console.print(f"   {line}", highlight=False)

    def checks(self, checks: Sequence[Check]) -> None:
        """Print one line per check."""
        table = Table(box=None, show_header=False, pad_edge=False)
        for check in checks:
            mark = "[green]holds[/]" if check.holds else "[bold red]FAILS[/]"
            table.add_row("  ", mark, check.name, f"[dim]{check.detail}[/]")
        self.console.print(table, highlight=False)
