"""Progress of long work: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from funreason_agents.cli.console import console

LINE_EVERY = 30.0
"""Seconds between two lines where there is no terminal."""


class Show(Protocol):
    """Shows how far the work is."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` are done."""


@contextmanager
def show_progress(label: str, total: int | None = None) -> Iterator[Show]:
    """Yield what shows progress; without a total it is yet to be found out."""
    if not console.is_terminal:
        say = say_now_and_then()
        yield lambda done, total, note="": say(f"{done} of {total}: {note or label.lower()}")
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(label, total=total, note="")
        yield lambda done, total, note="": bar.update(task, completed=done, total=total, note=note)


def say_now_and_then(every: float = LINE_EVERY) -> Callable[..., None]:
    """Return what prints a line if it printed none in the last `every` seconds, or `now`."""
    printed = time.monotonic()

    def say(line: str, *, now: bool = False) -> None:
        nonlocal printed
        if now or time.monotonic() - printed > every:
            printed = time.monotonic()
            console.print(line)

    return say
