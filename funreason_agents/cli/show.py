"""`funreason show`: trajectories that a person can read in the terminal."""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from funreason_agents.cli.console import console
from funreason_agents.environments.base import Backend, Environment
from funreason_agents.errors import ConfigurationError
from funreason_agents.export.writer import read_records
from funreason_agents.graphs.supervisor import create_supervisor
from funreason_agents.run_directory import RunDirectory, database_error
from funreason_agents.schemas.base import content_hash
from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.schemas.tasks import HardTurn
from funreason_agents.schemas.tools import ExecutedCall, ToolSpec
from funreason_agents.schemas.trajectory import Check, Message, RejectedTurn
from funreason_agents.seeding import make_thread_id
from funreason_agents.verification.replay import split_turns


def show_summary(directory: Path) -> None:
    """Print what a run made: its counts, and one line per record.

    Raises:
        ExportError: the records or the manifest cannot be read.
    """
    records = read_records(directory)
    manifest = RunDirectory(directory).read_manifest() or {}
    _print_manifest(manifest)
    table = Table(box=None)
    for name in ("N", "turns", "calls"):
        table.add_column(name, no_wrap=True)
    table.add_column("targets", ratio=2)
    table.add_column("first query", ratio=3)
    for number, record in enumerate(records):
        turns = split_turns(record.messages)
        calls = sum(len(message.tool_calls) for message in record.messages)
        query = " ".join(turns[0][0].content.split())
        targets = ", ".join(record.provenance.targets)
        table.add_row(str(number), str(len(turns)), str(calls), escape(targets), escape(query))
    if records:
        console.print(table, soft_wrap=False)
    for reason, count in manifest.get("rejections", {}).items():
        console.print(f"[yellow]{count} rejected turns[/] {escape(reason)}")
    folder = shlex.quote(str(directory))
    console.print(f"\nNext:  funreason show {folder} N             one record, turn by turn")
    console.print(f"       funreason show {folder} --rejected    failed attempts")


def _print_manifest(manifest: dict[str, Any]) -> None:
    if "counts" not in manifest:
        return
    run, counts = manifest["run"], manifest["counts"]
    models = ", ".join(sorted(set(run["models"].values())))
    console.print(
        f"[bold]{escape(run['environment'])}[/], seed {run['seed']}, model {escape(models)}: "
        f"{manifest['status']}; {counts['accepted']} of {counts['planned']} accepted, "
        f"{counts['rejected']} rejected, {counts['failed']} failed, "
        f"{counts['duplicates'] + counts.get('near_duplicates', 0)} duplicates left out"
        + (f", {counts['waiting']} wait for review" if counts.get("waiting") else "")
    )
    for failure in manifest.get("failures", [])[:3]:
        said = f"{failure['error']}: {failure['message']}"
        console.print(f"[red]trajectory {failure['index']} failed[/] {escape(said)}")


def show_record(directory: Path, which: str) -> None:
    """Print one record: queries, reasoning, calls, results, replies, checks.

    Raises:
        ConfigurationError: there is no such record.
        ExportError: the records cannot be read.
    """
    records = read_records(directory)
    if not which.isdecimal():
        msg = f"{which!r} is not the number of a record; for a reason of rejection add --rejected"
        raise ConfigurationError(msg)
    if int(which) >= len(records):
        held = f"records 0 to {len(records) - 1}" if records else "no records"
        msg = f"there is no record {which}; {str(directory)!r} has {held}"
        raise ConfigurationError(msg)
    _print_record(records[int(which)])


def _print_record(record: TrainingRecord) -> None:
    made = record.provenance
    console.print(
        f"[bold]record {record.id}[/]  {record.certificate.environment_id}, seed "
        f"{record.certificate.environment_seed}, trajectory {made.index}"
    )
    for number, messages in enumerate(split_turns(record.messages)):
        certified = record.certificate.turns[number]
        aim = f"target {certified.target}" if certified.target else "nothing to call"
        console.rule(
            f"turn {number + 1}: {_kind(certified.hard)}{aim}, round {made.rounds[number]}"
        )
        for message in messages:
            _print_message(message)
        console.print(_checks_line(record.checks[number]))


def _kind(hard: HardTurn | None) -> str:
    if hard is None:
        return ""
    held_out = f" ({hard.function} not offered)" if hard.function and hard.part == 1 else ""
    return f"{hard.kind.replace('_', ' ')}{held_out}, "


def _print_message(message: Message) -> None:
    if message.role == "user":
        said = escape(_shorten(message.content, 1500))
        console.print(Panel(said, title="user", title_align="left"), soft_wrap=False)
        return
    if message.role == "tool":
        mark = "[red]refused[/]" if message.is_error else "[dim]result[/]"
        console.print(f"  {mark}  {escape(_shorten(message.content))}")
        return
    if message.reasoning:
        console.print(f"  [dim italic]{escape(message.reasoning)}[/]")
    for call in message.tool_calls:
        console.print(f"  [cyan]{call.name}[/]({escape(_arguments(call.arguments))})")
    if message.content:
        console.print(
            Panel(escape(message.content), title="assistant", title_align="left"), soft_wrap=False
        )


def _checks_line(checks: Sequence[Check]) -> str:
    marks = [f"[green]ok[/] {c.name}" if c.passed else f"[red]FAILED[/] {c.name}" for c in checks]
    return "  ".join(marks)


def _arguments(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in arguments.items())


def _shorten(text: str, length: int = 400) -> str:
    return text if len(text) <= length else f"{text[:length]} ... ({len(text)} characters)"


def show_rejected(directory: Path, reason: str | None, limit: int) -> None:
    """Print rejected turns with the attempt against the gold trace.

    Raises:
        ConfigurationError: the directory is no run.
        ExportError: the checkpoints cannot be read.
    """
    shown = 0
    for index, rejected in _iterate_rejected(directory):
        if reason is not None and reason not in f"{rejected.stage}: {rejected.reason}":
            continue
        _print_rejected(index, rejected)
        shown += 1
        if shown >= limit:
            console.print(f"\n(the first {limit}; --limit shows more)")
            return
    if shown == 0:
        console.print("No rejected turns" + (f" with reason {reason!r}." if reason else "."))


def _iterate_rejected(directory: Path) -> Iterator[tuple[int, RejectedTurn]]:
    run = RunDirectory(directory)
    manifest = run.read_manifest()
    if manifest is None or not run.checkpoints.exists():
        msg = f"{str(directory)!r} is not the directory of a `funreason synthesize` run"
        raise ConfigurationError(msg)
    key = content_hash(manifest["run"])
    with run.open_checkpointer() as checkpointer:
        graph = create_supervisor(environment=_nowhere(manifest), checkpointer=checkpointer)
        for index in range(manifest["num_trajectories"]):
            config: Any = {"configurable": {"thread_id": make_thread_id(key, index)}}
            try:
                values = graph.get_state(config).values
            except sqlite3.Error as exc:
                raise database_error(run.checkpoints, exc) from exc
            for item in values.get("rejected_turns", []):
                yield index, RejectedTurn.model_validate(item["turn"])


def _nowhere(manifest: dict[str, Any]) -> Environment:
    """Return an environment for a graph that is only read from: the real one may be gone."""

    def refuse(_seed: int) -> Backend:
        raise NotImplementedError

    nothing = ToolSpec(name="nothing", description="", parameters={"type": "object"})
    return Environment(id=manifest["run"]["environment"], tools=[nothing], open_backend=refuse)


def _print_rejected(index: int, rejected: RejectedTurn) -> None:
    console.rule(
        f"trajectory {index}, turn {rejected.turn + 1}, draw {rejected.turn_attempt}: "
        f"{'' if rejected.kind == 'plain' else rejected.kind + ', '}{rejected.target}"
    )
    console.print(f"[red]{rejected.stage}: {rejected.reason}[/]")
    if rejected.query:
        console.print(
            Panel(escape(rejected.query), title="query", title_align="left"), soft_wrap=False
        )
    gold = rejected.trace.calls if rejected.trace else ()
    attempt = rejected.attempt.executed if rejected.attempt else ()
    if gold:
        console.print(_compare(gold, attempt))
    for check in rejected.checks:
        if not check.passed:
            console.print(f"[red]FAILED[/] {check.name} {escape(json.dumps(check.details))}")
    for critique in rejected.critiques:
        console.print(f"  critique of round {critique.round}: {escape(critique.text)}")


def _compare(gold: Sequence[ExecutedCall], attempt: Sequence[ExecutedCall]) -> Table:
    table = Table("", "gold trace", "attempt", show_lines=True)
    for number in range(max(len(gold), len(attempt))):
        sides = [
            f"{s[number].call.name}({_arguments(s[number].call.arguments)})"
            + (" -> refused" if s[number].result.is_error else "")
            if number < len(s)
            else ""
            for s in (gold, attempt)
        ]
        table.add_row(str(number), *map(escape, sides))
    return table
