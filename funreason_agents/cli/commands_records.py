"""Commands that read what a run has left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from funreason_agents.cli import options
from funreason_agents.cli.loading import load

if TYPE_CHECKING:
    from funreason_agents.environments.base import Environment


def export(
    directory: options.RunArgument,
    out: Annotated[Path, typer.Option(help="Directory for the rows.")],
    format: Annotated[
        str,
        typer.Option(
            help="trl (messages + tools), trl-steps (one row per assistant message), preference "
            "(one row per message edited in a review), or records."
        ),
    ] = "trl",
    heldout: Annotated[
        float, typer.Option(help="Share held out, by environment seed.", min=0.0, max=0.9)
    ] = 0.1,
    benchmark: Annotated[
        Path | None,
        typer.Option(help="BFCL's data folder: also report overlaps with its questions and calls."),
    ] = None,
) -> None:
    """Turn records into training rows, with a held-out part and a decontamination report."""
    from funreason_agents.cli.run import export_rows  # noqa: PLC0415

    export_rows(directory, out, format=format, heldout=heldout, benchmark=benchmark)


def verify(
    directory: options.RunArgument,
    environment: Annotated[
        str | None, typer.Option(metavar="ENV", help="Where to replay; default: as in run.json.")
    ] = None,
    tool_timeout: options.TimeoutOption = 30.0,
    allow_side_effects: options.SideEffectsOption = False,
) -> None:
    """Replay every record in a fresh session and run all checks on it again.

    Exit status: 0 if all reproduce; 1 if one does not, or there are none; 2 if they cannot be
    judged, because the environment or the records cannot be read or the tools have changed.
    """
    from funreason_agents.cli.verify import verify_directory  # noqa: PLC0415

    def open_target(target: str) -> Environment:
        return load(target, tool_timeout, allow_side_effects)

    raise typer.Exit(verify_directory(directory, environment, open_target))


def show(
    directory: options.RunArgument,
    which: Annotated[
        str | None,
        typer.Argument(metavar="[N|REASON]", help="Number of a record, or a reason of rejection."),
    ] = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Show rejected turns: attempt against gold trace.")
    ] = False,
    limit: Annotated[int, typer.Option(help="Most rejected turns to show.", min=1)] = 5,
) -> None:
    """Show a trajectory: query, reasoning, calls, results, checks. Without N: a summary.

    funreason show DIR                    counts, and a line for each record

    funreason show DIR 0                  record 0, turn by turn

    funreason show DIR --rejected         attempts that failed, against the gold trace

    funreason show DIR REASON --rejected  only those, for example, that mention calls_match
    """
    from funreason_agents.cli.show import show_record, show_rejected, show_summary  # noqa: PLC0415

    if rejected:
        show_rejected(directory, which, limit)
    elif which is None:
        show_summary(directory)
    else:
        show_record(directory, which)
