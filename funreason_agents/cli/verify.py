"""`funreason verify`: replay the records of a directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rich.markup import escape
from rich.progress import track

from funreason_agents.cli.console import console
from funreason_agents.environments.base import Environment
from funreason_agents.errors import ConfigurationError, EnvError, VerificationError
from funreason_agents.export.writer import read_records
from funreason_agents.run_directory import RunDirectory
from funreason_agents.verification.replay import RecordReport, verify_record

SHOWN = 10
"""Records that do not reproduce which are shown one by one."""


def verify_directory(
    directory: Path, target: str | None, load: Callable[[str], Environment]
) -> int:
    """Replay every record and print how many reproduce.

    Args:
        directory: Directory of a run, or a file of records.
        target: Name of the environment; None takes it from `run.json`.
        load: From a name to the environment.

    Returns:
        0 if all do, 1 if one does not or there are none, 2 if the environment is not available.

    Raises:
        ExportError: the records or `run.json` cannot be read.
    """
    records = read_records(directory)
    if not records:
        console.print("There are no records to verify.")
        return 1
    try:
        environment = load(target or _find_target(directory))
        shown = track(records, "Replaying", console=console, disable=not console.is_terminal)
        reports = [verify_record(record, environment) for record in shown]
    except (ConfigurationError, EnvError, VerificationError) as exc:
        console.print(f"[red]cannot verify:[/] {escape(str(exc))}")
        return 2
    good = sum(report.reproduced for report in reports)
    console.print(f"[bold]{good} of {len(reports)} records reproduce[/] in {environment.id}.")
    _print_problems(reports)
    return 0 if good == len(reports) else 1


def _find_target(directory: Path) -> str:
    folder = directory if directory.is_dir() else directory.parent
    manifest = RunDirectory(folder).read_manifest() or {}
    target = manifest.get("environment_target")
    if target is None:
        msg = "run.json does not name the environment; pass --environment path/to/file.py:Name"
        raise ConfigurationError(msg)
    return str(target)


def _print_problems(reports: list[RecordReport]) -> None:
    bad = [report for report in reports if not report.reproduced]
    counts = Counter(problem.check for report in bad for problem in report.problems)
    for check, count in counts.most_common():
        console.print(f"  {count} x {check}")
    if bad and counts["initial_state"] == len(bad):
        console.print(
            "All of them start in another state. Was the run made with --allow-side-effects, or "
            "has the environment changed?"
        )
    for report in bad[:SHOWN]:
        console.print(f"\n[red]{report.record_id}[/]")
        for problem in report.problems:
            where = "" if problem.turn is None else f"turn {problem.turn}: "
            console.print(f"  {where}{problem.check} {escape(str(problem.details))}")
