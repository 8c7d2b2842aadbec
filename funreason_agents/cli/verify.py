"""`funreason verify`: replay the records of a directory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from funreason_agents.environments.base import Environment
from funreason_agents.environments.loader import load_environment
from funreason_agents.errors import ConfigurationError, EnvError, ExportError, VerificationError
from funreason_agents.export.writer import read_records
from funreason_agents.run_directory import RunDirectory
from funreason_agents.verification.replay import RecordReport, verify_record

console = Console(highlight=False)
SHOWN = 10
"""Records that do not reproduce which are shown one by one."""


def verify_directory(directory: Path, target: str | None, timeout: float) -> int:
    """Replay every record and print how many reproduce.

    Returns:
        0 if all do, 1 if one does not or there are none, 2 if the environment is not available.
    """
    try:
        records = read_records(directory)
    except ExportError as exc:
        console.print(f"[red]error:[/] {escape(str(exc))}")
        return 1
    try:
        environment = _find_environment(directory, target, timeout)
        reports = [
            verify_record(record, environment)
            for record in track(
                records, "Replaying", console=console, disable=not console.is_terminal
            )
        ]
    except (ConfigurationError, EnvError, VerificationError) as exc:
        console.print(f"[red]cannot verify:[/] {escape(str(exc))}")
        return 2
    good = sum(report.reproduced for report in reports)
    console.print(f"[bold]{good} of {len(reports)} records reproduce[/] in {environment.id}.")
    _print_problems(reports)
    return 0 if reports and good == len(reports) else 1


def _find_environment(directory: Path, target: str | None, timeout: float) -> Environment:
    if target is None:
        folder = directory if directory.is_dir() else directory.parent
        manifest = RunDirectory(folder).read_manifest() or {}
        target = manifest.get("environment_target")
    if target is None:
        msg = "run.json does not name the environment; pass --environment path/to/file.py:Name"
        raise ConfigurationError(msg)
    return load_environment(target, timeout=timeout)


def _print_problems(reports: list[RecordReport]) -> None:
    bad = [report for report in reports if not report.reproduced]
    counts = Counter(problem.check for report in bad for problem in report.problems)
    for check, count in counts.most_common():
        console.print(f"  {count} x {check}")
    for report in bad[:SHOWN]:
        console.print(f"\n[red]{report.record_id}[/]")
        for problem in report.problems:
            where = "" if problem.turn is None else f"turn {problem.turn}: "
            console.print(f"  {where}{problem.check} {escape(str(problem.details))}")
