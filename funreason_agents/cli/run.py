"""`funreason synthesize` and `funreason export`: progress, summary, exit status."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from funreason_agents.cli.console import console
from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.errors import ConfigurationError
from funreason_agents.export.writer import read_records, write_records, write_text
from funreason_agents.models.factory import load_model
from funreason_agents.run_statistics import RunStatistics
from funreason_agents.synthesis import Run, synthesize
from funreason_agents.tool_graph.build import tool_graph_of

INTERRUPTED = 130
LINE_EVERY = 30.0
"""Seconds between two lines of progress where there is no terminal."""


def run_synthesis(
    environment: Environment,
    *,
    target: str,
    out: Path,
    num_trajectories: int,
    knobs: dict[str, Any],
    model: str = "offline",
    base_url: str | None = None,
    **options: Any,
) -> int:
    """Make the trajectories under a progress bar, then print a summary.

    Returns:
        The exit status, as `funreason synthesize --help` tells it.

    Raises:
        ConfigurationError: a knob is out of bounds.
        FunReasonError: the run cannot be started.
    """
    try:
        context = SynthesisContext(**knobs)
    except ValidationError as exc:
        first = exc.errors()[0]
        msg = f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}"
        raise ConfigurationError(msg) from exc
    # Before anything that takes time: the model's name may be wrong.
    chat_model = load_model(model, base_url=base_url)
    with _terminable():
        with console.status(f"Probing the tools of {environment.id} ..."):
            graph = tool_graph_of(environment)
        for name, reason in graph.unreachable.items():
            console.print(f"[yellow]unreachable[/] {name}: each call was refused: {escape(reason)}")
        if graph.unreachable:
            console.print(
                "Name values that they accept: in the docstring (such as 'a'), schema or state."
            )
        with _progress(num_trajectories) as advance:
            run = synthesize(
                environment=environment,
                num_trajectories=num_trajectories,
                out=out,
                model=chat_model,
                context=context,
                target=target,
                progress=advance,
                **options,
            )
    _summarise(run)
    if run.interrupted:
        return INTERRUPTED
    return 0 if run.accepted and not run.failed and not run.stopped_early else 1


@contextmanager
def _terminable() -> Iterator[None]:
    """Let a polite kill end the run as cleanly as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    if not console.is_terminal:
        yield _print_now_and_then()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("Trajectories", total=total, counts="")

        def advance(statistics: RunStatistics) -> None:
            bar.update(task, completed=statistics.ended, counts=_counts(statistics))

        yield advance


def _print_now_and_then() -> Callable[[RunStatistics], None]:
    """Return what prints a line every `LINE_EVERY` seconds, for logs."""
    printed = time.monotonic()

    def advance(statistics: RunStatistics) -> None:
        nonlocal printed
        if time.monotonic() - printed > LINE_EVERY:
            printed = time.monotonic()
            console.print(f"{statistics.ended} of {statistics.planned}: {_counts(statistics)}")

    return advance


def _counts(statistics: RunStatistics) -> str:
    return (
        f"[green]{statistics.accepted} accepted[/], [yellow]{statistics.rejected} rejected[/], "
        f"[red]{statistics.failed} failed[/], yield {statistics.trajectory_yield:.0%}"
    )


def _summarise(run: Run) -> None:
    stats = run.statistics
    console.print(
        f"\n[bold]{stats.accepted} of {stats.planned} trajectories accepted[/] "
        f"({stats.rejected} rejected, {stats.failed} failed), "
        f"{stats.turns_accepted} verified turns, {stats.calls} tool calls."
    )
    console.print(
        f"Yield: {stats.trajectory_yield:.0%} of trajectories, "
        f"{stats.turn_yield:.0%} of drawn turns."
    )
    if stats.duplicates:
        console.print(
            f"{stats.accepted - stats.duplicates} records: {stats.duplicates} left out, because an "
            "earlier one has the same calls."
        )
    corrected = sum(count for number, count in stats.rounds.items() if number > 1)
    if corrected:
        console.print(f"Turns accepted after the critic corrected an attempt: {corrected}.")
    _print_counts("Why drawn turns were rejected (another target was then drawn)", stats.rejections)
    _print_counts("What failed", stats.errors)
    for failure in () if run.stopped_early else stats.failures[:3]:
        console.print(f"  trajectory {failure.index}: {escape(failure.message)}")
    if run.stopped_early:
        console.print(f"[red]Given up:[/] {escape(run.stopped_early)}")
    if run.interrupted or stats.failed:
        console.print("Run the same line again: it goes on where this one stopped.")
    directory = run.directory
    console.print(f"\n  records     {directory.records}")
    console.print(f"  manifest    {directory.manifest}")
    console.print(f"  checkpoints {directory.checkpoints}")
    if stats.accepted:
        folder = shlex.quote(str(directory.path))
        console.print(f"\nNext:  {_command()} show {folder} 0")
        console.print(f"       {_command()} verify {folder}")
        console.print(f"       {_command()} export {folder} --out {folder}/rows")
    elif stats.rejected:
        folder = shlex.quote(str(directory.path))
        console.print(f"\nNothing was accepted. Next:  {_command()} show {folder} --rejected")


def _command() -> str:
    """Return how this command was called, so that the next one can be copied: perhaps by path."""
    called = Path(sys.argv[0])
    if called.name != "funreason":
        return "funreason"
    return "funreason" if shutil.which("funreason") == str(called) else shlex.quote(str(called))


def _print_counts(title: str, counts: Any) -> None:
    if not counts:
        return
    console.print(f"{title}:")
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, count in counts.most_common():
        table.add_row(str(count), escape(str(name)))
    console.print(table)


def export_rows(
    directory: Path, out: Path, *, format: str, heldout: float, benchmark: Path | None
) -> None:
    """Write rows, and a decontamination report where a benchmark is given.

    Raises:
        ConfigurationError: the format is unknown, or the benchmark folder is none.
        ExportError: the records cannot be read, or the rows not be written.
    """
    records = read_records(directory)
    split = {"train": 1 - heldout, "heldout": heldout} if heldout else {"train": 1.0}
    paths = write_records(records, out, format=format, split=split)  # type: ignore[arg-type]  # checked there
    manifest = json.loads(paths["manifest"].read_text(encoding="utf-8"))
    for name, counts in manifest["files"].items():
        console.print(
            f"  {name:10} {paths[name]}  ({counts['rows']} rows of {counts['records']} records)"
        )
    console.print(f"  {'manifest':10} {paths['manifest']}")
    if not records:
        console.print("[yellow]There are no records yet, so there are no rows.[/]")
    elif heldout and not manifest["files"]["heldout"]["records"]:
        console.print("[yellow]Too few records for a held-out part: it is empty.[/]")
    if benchmark is None:
        return
    from funreason_agents.curation.decontamination import (  # noqa: PLC0415
        find_overlaps,
        load_bfcl,
        render_report,
    )

    report = find_overlaps(records, load_bfcl(benchmark))
    path = out / "decontamination.json"
    write_text(path, report.model_dump_json(indent=2) + "\n")
    console.print(escape(render_report(report)))
    console.print(f"  report     {path}")
