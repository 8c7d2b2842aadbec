"""The commands, their help, and how errors become exit codes."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from funreason_agents.cli import options

if TYPE_CHECKING:
    from funreason_agents.environments.base import Environment

INTERRUPTED = 130
"""Exit status after Ctrl-C or SIGTERM."""
ReviewOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="query|turn",
        help="Have a person judge each written query, or each verified turn, or (given twice) "
        "both: trajectories then wait for `funreason review DIR`.",
    ),
]

app = typer.Typer(
    name="funreason",
    help="From your tools to verified multi-turn tool-use training data.\n\n"
    "Start here:  funreason synthesize tools/bookstore.py:Bookstore --out data/bookstore",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.command()
def explore(
    environment: options.EnvironmentArgument,
    walks: Annotated[
        int,
        typer.Option(help="Also make this many walks and compare them with random ones.", min=0),
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the walks.")] = 0,
    draw: Annotated[
        Path | None, typer.Option(help="Write the tool graph here: .mmd (Mermaid) or .json.")
    ] = None,
    tool_timeout: options.TimeoutOption = 30.0,
    allow_side_effects: options.SideEffectsOption = False,
) -> None:
    """Find out what each tool needs first, and show the tool graph."""
    from funreason_agents.cli.inspect import explore_environment  # noqa: PLC0415

    loaded = _load(environment, tool_timeout, allow_side_effects)
    explore_environment(loaded, walks=walks, seed=seed, draw=draw)


@app.command()
def doctor(
    environment: options.EnvironmentArgument,
    tool_timeout: options.TimeoutOption = 30.0,
    allow_side_effects: options.SideEffectsOption = False,
) -> None:
    """Check an environment: schemas, state, determinism, side effects, unreachable tools.

    Exit status: 0 if it is fit for synthesis, 1 if not.
    """
    from funreason_agents.cli.inspect import examine_environment  # noqa: PLC0415

    loaded = _load(environment, tool_timeout, allow_side_effects)
    # By its name it can be loaded again, in other processes; with side effects it is not.
    examined = loaded if allow_side_effects else environment
    raise typer.Exit(0 if examine_environment(loaded, examined) else 1)


@app.command()
def synthesize(
    environment: options.EnvironmentArgument,
    out: options.OutOption,
    num_trajectories: options.NumberOption = 20,
    turns: Annotated[int, typer.Option(help="Turns per trajectory.", min=1, max=64)] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the run: same seed, same records.")] = 0,
    model: options.ModelOption = "offline",
    base_url: options.BaseUrlOption = None,
    max_concurrency: options.ConcurrencyOption = 4,
    critic_rounds: options.RoundsOption = 3,
    match_mode: options.MatchOption = "exact",
    read_only: options.ReadOnlyOption = False,
    hard_turns: options.HardTurnsOption = None,
    role_model: options.RoleModelOption = None,
    set_: options.SetOption = None,
    tool_timeout: options.TimeoutOption = 30.0,
    allow_side_effects: options.SideEffectsOption = False,
    review: ReviewOption = None,
    prices: options.PricesOption = None,
    dry_run: options.DryRunOption = False,
    max_tokens: options.MaxTokens = None,
    max_usd: options.MaxUsd = None,
    max_calls: options.MaxCalls = None,
    deadline: options.Deadline = None,
    trajectory_max_tokens: options.TrajectoryMaxTokens = None,
    trajectory_max_usd: options.TrajectoryMaxUsd = None,
    trajectory_max_calls: options.TrajectoryMaxCalls = None,
    trajectory_deadline: options.TrajectoryDeadline = None,
) -> None:
    """Make verified trajectories. Run the same line again to go on where it stopped.

    Leaves in DIR: records.jsonl (verified records), provenance.jsonl, run.json (counts, costs and
    reasons of rejections), ledger.jsonl (a line for each model call) and checkpoints.sqlite (every
    thread, to resume, fork or inspect).

    A limit of the run stops it cleanly: the same line with a higher limit goes on. A limit of a
    trajectory fails that trajectory. What earlier runs in DIR spent counts.

    Exit status: 0 if records were made and nothing failed; 1 if nothing was accepted, something
    failed, or a limit was reached; 2 if the line cannot be run as it is; 130 after Ctrl-C, which
    lets each trajectory reach its next checkpoint (a second Ctrl-C does not wait).
    """
    from funreason_agents.cli.run import run_synthesis  # noqa: PLC0415

    status = run_synthesis(
        _load(environment, tool_timeout, allow_side_effects),
        target=environment,
        out=out,
        num_trajectories=num_trajectories,
        seed=seed,
        model=model,
        base_url=base_url,
        max_concurrency=max_concurrency,
        knobs={
            "turns": turns,
            "critic_rounds": critic_rounds,
            "match_mode": match_mode,
            "read_only": read_only,
            "review": tuple(review or ()),
            "hard_turns": options.parse_hard_turns(hard_turns),
            **options.parse_knobs(set_),
        },
        role_models=options.parse_pairs("--role-model", role_model),
        limits=_name_limits(
            (max_tokens, max_usd, max_calls, deadline),
            (trajectory_max_tokens, trajectory_max_usd, trajectory_max_calls, trajectory_deadline),
        ),
        prices=prices,
        dry_run=dry_run,
    )
    raise typer.Exit(status)


def _name_limits(run: tuple[float | None, ...], each: tuple[float | None, ...]) -> dict[str, Any]:
    """Return limits of the run and of each trajectory as fields of `Limits`."""
    names = ("max_tokens", "max_usd", "max_calls", "deadline")
    named = dict(zip(names, run, strict=True))
    return named | {f"trajectory_{n}": value for n, value in zip(names, each, strict=True)}


@app.command()
def review(
    directory: options.RunArgument,
    environment: Annotated[
        str | None,
        typer.Option(metavar="ENV", help="Where edits are executed; default: as in run.json."),
    ] = None,
    decisions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Take decisions from here, one JSON object a line, and ask nobody.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Most requests to answer now; the rest waits.", min=1)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="As given to synthesize; needed unless that was offline.")
    ] = None,
    role_model: options.RoleModelOption = None,
    base_url: options.BaseUrlOption = None,
    max_concurrency: options.ConcurrencyOption = 4,
    tool_timeout: options.TimeoutOption = 30.0,
    allow_side_effects: options.SideEffectsOption = False,
    prices: options.PricesOption = None,
    max_tokens: options.MaxTokens = None,
    max_usd: options.MaxUsd = None,
    max_calls: options.MaxCalls = None,
) -> None:
    """Judge what a run made with --review waits for, and finish the run.

    First, what does not wait for you is run to its end. Then each request is shown, in the order
    of the trajectories: the query, its calls with their results, the reply. Accept it, edit the
    query, the arguments of a call or the reply, or reject it with a reason: another target is
    then drawn. An edit is executed and verified again. If a check fails, it is named and you are
    asked again; if all pass, the result is shown, for further edits or to accept. Edits are kept
    in the record, and `funreason export --format preference` makes pairs of them.

    Ctrl-C, or q, stops: what was answered is kept, and the same line goes on.

    A line of --decisions answers the next request, or with "index" the next one of that
    trajectory:

    {"action": "accept"}

    {"index": 3, "action": "reject", "reason": "nobody says that"}

    {"index": 3, "action": "edit_query", "query": "..."}

    {"index": 3, "action": "edit_call", "call": 0, "arguments": {"city": "Ulm"}}

    {"index": 3, "action": "edit_reply", "reply": "..."}

    Exit status: 0 if nothing failed, even if some still wait; else as for synthesize.
    """
    from funreason_agents.cli.review import review_run  # noqa: PLC0415

    status = review_run(
        directory,
        load=lambda target: _load(target, tool_timeout, allow_side_effects),
        target=environment,
        decisions=decisions,
        limit=limit,
        model=model,
        role_models=options.parse_pairs("--role-model", role_model),
        base_url=base_url,
        prices=prices,
        max_concurrency=max_concurrency,
        limits={"max_tokens": max_tokens, "max_usd": max_usd, "max_calls": max_calls},
    )
    raise typer.Exit(status)


@app.command()
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


@app.command()
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

    def load(target: str) -> Environment:
        return _load(target, tool_timeout, allow_side_effects)

    raise typer.Exit(verify_directory(directory, environment, load))


@app.command()
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


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        from funreason_agents import __version__  # noqa: PLC0415

        typer.echo(__version__)
        raise typer.Exit


def _load(target: str, timeout: float, allow_side_effects: bool) -> Environment:
    from funreason_agents.environments.loader import load_environment  # noqa: PLC0415

    return load_environment(target, timeout=timeout, allow_side_effects=allow_side_effects)


def main() -> None:
    """Run the command line; a typed error becomes one line and an exit code, no traceback."""
    from funreason_agents.errors import (  # noqa: PLC0415
        ConfigurationError,
        ExportError,
        FunReasonError,
    )

    try:
        app(prog_name="funreason")
    except (ConfigurationError, ExportError) as exc:
        _fail(str(exc), 2)
    except FunReasonError as exc:
        _fail(f"{type(exc).__name__}: {exc}", 1)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except SystemExit as exc:
        if exc.code == INTERRUPTED:
            _leave_threads_behind()
        raise


def _leave_threads_behind() -> None:
    """After a second Ctrl-C: Python would wait for every model call that is still going on."""
    if any(
        not thread.daemon
        for thread in threading.enumerate()
        if thread is not threading.main_thread()
    ):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)


def _fail(message: str, status: int) -> None:
    typer.echo(f"error: {message}", err=True)
    sys.exit(status)
