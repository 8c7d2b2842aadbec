"""`funreason synthesize` and `funreason export`: progress, summary, exit status."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from funreason_agents.cli.console import console
from funreason_agents.cli.dry_run import estimate_run, print_estimate
from funreason_agents.cli.progress import show_progress
from funreason_agents.cli.settings import read_options
from funreason_agents.config import SynthesisContext
from funreason_agents.environments.base import Environment
from funreason_agents.export.writer import read_records, write_records, write_text
from funreason_agents.models.factory import load_model, load_models, model_id
from funreason_agents.models.ledger import Ledger, Limits
from funreason_agents.models.prices import load_prices
from funreason_agents.run_job import Run
from funreason_agents.run_statistics import RunStatistics
from funreason_agents.synthesis import synthesize
from funreason_agents.tool_graph.build import tool_graph_of

INTERRUPTED = 130


def run_synthesis(
    environment: Environment,
    *,
    target: str,
    out: Path,
    num_trajectories: int,
    knobs: dict[str, Any],
    limits: dict[str, Any],
    prices: Path | None = None,
    dry_run: bool = False,
    model: str = "offline",
    role_models: dict[str, str] | None = None,
    base_url: str | None = None,
    **options: Any,
) -> int:
    """Make the trajectories under a progress bar, then print a summary; or only estimate.

    Returns:
        The exit status, as `funreason synthesize --help` tells it.

    Raises:
        ConfigurationError: a knob or a limit is out of bounds, or a price is missing.
        FunReasonError: the run cannot be started.
    """
    context, budget = read_options(SynthesisContext, knobs), read_options(Limits, limits)
    # Before anything that takes time: the model's name may be wrong, or its price missing.
    chat_model = load_model(model, base_url=base_url)
    roles = load_models(chat_model, role_models, base_url=base_url)
    Ledger(load_prices(prices), budget).require_prices(roles.ids.values())
    with terminable():
        with console.status(f"Probing the tools of {environment.id} ..."):
            graph = tool_graph_of(environment)
        for name, reason in graph.unreachable.items():
            console.print(f"[yellow]unreachable[/] {name}: each call was refused: {escape(reason)}")
        if graph.unreachable:
            console.print(
                "Name values that they accept: in the docstring (such as 'a'), schema or state."
            )
        if dry_run:
            estimate = estimate_run(
                environment,
                model=model_id(chat_model),
                prices=load_prices(prices),
                out=out,
                num_trajectories=num_trajectories,
                context=context,
                seed=options.get("seed", 0),
                max_concurrency=options.get("max_concurrency", 1),
            )
            print_estimate(estimate)
            return 0
        with _progress(num_trajectories) as advance:
            run = synthesize(
                environment=environment,
                num_trajectories=num_trajectories,
                out=out,
                model=chat_model,
                models=role_models,
                base_url=base_url,
                context=context,
                target=target,
                limits=budget,
                prices=prices,
                progress=advance,
                **options,
            )
    return finish(run)


def finish(run: Run) -> int:
    """Print what a run came to, and return its exit status."""
    _summarise(run)
    if run.interrupted:
        return INTERRUPTED
    made = run.accepted or run.waiting
    return 0 if made and not run.failed and not run.stopped_early else 1


@contextmanager
def terminable() -> Iterator[None]:
    """Let a polite kill end the run as cleanly as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[RunStatistics], None]]:
    with show_progress("Trajectories", total) as show:
        yield lambda stats: show(stats.ended, stats.planned, _counts(stats))


def _counts(statistics: RunStatistics) -> str:
    return (
        f"[green]{statistics.accepted} accepted[/], [yellow]{statistics.rejected} rejected[/], "
        f"[red]{statistics.failed} failed[/], yield {statistics.trajectory_yield:.0%}"
        + (f", {statistics.waiting} wait for review" if statistics.waiting else "")
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
    if stats.records < stats.accepted:
        console.print(
            f"{stats.records} records. Left out: {stats.duplicates} with the same calls as an "
            f"earlier one, {stats.near_duplicates} in which the user says nearly the same."
        )
    if set(stats.kinds) - {"plain"}:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(stats.kinds.items()))
        console.print(f"Turns by kind: {kinds}.")
    if len(stats.rounds_reached) > 1:
        passed = ", ".join(
            f"{stats.rounds[number]} of {reached} in round {number}"
            for number, reached in sorted(stats.rounds_reached.items())
        )
        console.print(f"Attempts accepted: {passed}.")
    _print_counts("Why drawn turns were rejected (another target was then drawn)", stats.rejections)
    _print_counts("What failed", stats.errors)
    for failure in () if run.stopped_early else stats.failures[:3]:
        console.print(f"  trajectory {failure.index}: {escape(failure.message)}")
    if run.stopped_early:
        console.print(f"[red]Stopped:[/] {escape(run.stopped_early)}")
    _print_cost(run)
    if run.interrupted or stats.failed:
        console.print("Run the same line again: it goes on where this one stopped.")
    directory = run.directory
    if stats.waiting:
        folder = shlex.quote(str(directory.path))
        console.print(
            f"[bold]{stats.waiting} of {stats.planned} wait for review.[/] Go on with them:  "
            f"{_command()} review {folder}"
        )
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


def _print_cost(run: Run) -> None:
    total, each = run.cost["total"], run.cost["per_accepted_trajectory"]
    if not total["calls"]:
        return
    usd = {None: "price not given", 0.0: "at no cost"}.get(
        total["usd"], f"{total['usd'] or 0:.4f} US dollars"
    )
    counted = " (estimated)" if total["estimated"] else ""
    console.print(
        f"Model calls: {total['calls']}, {total['tokens']} tokens{counted}, {usd}.", end=" "
    )
    if each["calls"] is None:
        console.print("None led to an accepted trajectory.")
        return
    usd = f", {each['usd']:.4f} US dollars" if each["usd"] else ""
    console.print(
        f"Per accepted trajectory: {each['calls']:.1f} calls, {each['tokens']:.0f} tokens{usd}."
    )


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
