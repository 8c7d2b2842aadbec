"""`funreason probe`: what a student model cannot do, for `synthesize --curriculum`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from funreason_agents.cli.console import console
from funreason_agents.cli.progress import show_progress
from funreason_agents.cli.run import INTERRUPTED, terminable
from funreason_agents.cli.settings import read_options
from funreason_agents.config import SynthesisContext
from funreason_agents.curriculum import (
    Score,
    StudentProfile,
    probe_student,
    write_profile,
)
from funreason_agents.environments.base import Environment
from funreason_agents.errors import ConfigurationError

PROFILE = "profile.json"


def run_probe(
    environment: Environment,
    *,
    out: Path,
    knobs: dict[str, Any],
    records: Path | None = None,
    **options: Any,
) -> int:
    """Probe a student under a progress bar, write its profile, and print it.

    Args:
        environment: Where the student acts.
        out: File for the profile; outcomes are kept beside it until it is written.
        knobs: Knobs of `SynthesisContext` for fresh tasks.
        records: File or directory of records whose turns are the tasks.
        options: As `probe_student` takes them.

    Returns:
        The exit status: 0, or 130 after Ctrl-C.

    Raises:
        ConfigurationError: `out` is a directory, or a knob cannot be used.
        FunReasonError: the probe cannot be started, or something broke on the way.
    """
    if out.is_dir() or out.name in ("", ".."):
        msg = f"--out {str(out)!r} is a directory; name a file, such as {str(out / PROFILE)!r}"
        raise ConfigurationError(msg)
    context = read_options(SynthesisContext, knobs)
    journal = out.with_name(f"{out.name}.partial")
    try:
        with terminable(), show_progress("Tasks solved") as show:
            profile = probe_student(
                environment,
                tasks=records,
                context=context,
                journal=journal,
                progress=show,
                **options,
            )
    except KeyboardInterrupt:
        console.print("Interrupted. Run the same line again: it goes on where this one stopped.")
        return INTERRUPTED
    write_profile(profile, out)
    journal.unlink(missing_ok=True)
    _print_profile(profile)
    console.print(f"\n  profile     {out}")
    console.print(
        f"\nNext:  funreason synthesize ... --curriculum {escape(str(out))}\n"
        "       heads for each tool by its weight, and makes hard turns by their shares."
    )
    return 0


def _print_profile(profile: StudentProfile) -> None:
    overall, weights = profile.overall, profile.weights()
    console.print(
        f"\n[bold]{escape(profile.model)} passes {overall.passed} of {overall.attempts} attempts[/]"
        f" at {overall.tasks} tasks in {escape(profile.environment_id)}."
    )
    _print_scores("Kind of turn", profile.kinds, weights["kinds"], "share", profile)
    by_weight = sorted(profile.tools, key=lambda name: (-weights["tools"][name], name))
    tools = {name: profile.tools[name] for name in by_weight}
    _print_scores("Tool", tools, weights["tools"], "weight", profile)


def _print_scores(
    title: str,
    scores: Mapping[Any, Score],
    weights: Mapping[str, float],
    heading: str,
    profile: StudentProfile,
) -> None:
    shown = dict.fromkeys((1, profile.attempts_per_task))
    table = Table(title, "tasks", *(f"pass@{k}" for k in shown), heading, "fails first at")
    for name, score in scores.items():
        passes = [f"{score.pass_at[k - 1]:.0%}" if score.tasks else "-" for k in shown]
        failures = ", ".join(f"{reason} {count}" for reason, count in score.failures.items())
        row = (str(name), str(score.tasks), *passes, f"{weights[name]:.2f}", failures)
        table.add_row(*map(escape, row))
    console.print(table)
