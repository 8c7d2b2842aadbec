"""The commands, their help, and how errors become exit codes."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from funreason_agents.environments.base import Environment

INTERRUPTED = 130
"""Exit status after Ctrl-C or SIGTERM."""

app = typer.Typer(
    name="funreason",
    help="From your tools to verified multi-turn tool-use training data.\n\n"
    "Start here:  funreason synthesize tools/bookstore.py:Bookstore --out data/bookstore",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

EnvironmentArgument = Annotated[
    str,
    typer.Argument(
        metavar="ENV",
        help="path/to/file.py:Name or package.module:Name. Name is a class, a list of LangChain "
        "tools, a factory (seed) -> ToolSession, or an Environment.",
    ),
]
RunArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a run.")]
TimeoutOption = Annotated[
    float, typer.Option(help="Seconds one tool call may take before its worker is ended.", min=0.1)
]
ModelOption = Annotated[
    str,
    typer.Option(
        help="offline (rule-based: no key, no GPU), openai:NAME (OpenAI, or your own server with "
        "--base-url), or provider:NAME (anything LangChain knows)."
    ),
]
SideEffectsOption = Annotated[
    bool,
    typer.Option(
        "--allow-side-effects",
        help="Accept an environment whose state cannot be dumped or reset. Tools are executed "
        "for real, many times.",
    ),
]


@app.command()
def explore(
    environment: EnvironmentArgument,
    walks: Annotated[
        int,
        typer.Option(help="Also make this many walks and compare them with random ones.", min=0),
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the walks.")] = 0,
    draw: Annotated[
        Path | None, typer.Option(help="Write the tool graph here: .mmd (Mermaid) or .json.")
    ] = None,
    tool_timeout: TimeoutOption = 30.0,
    allow_side_effects: SideEffectsOption = False,
) -> None:
    """Find out what each tool needs first, and show the tool graph."""
    from funreason_agents.cli.inspect import explore_environment  # noqa: PLC0415

    loaded = _load(environment, tool_timeout, allow_side_effects)
    explore_environment(loaded, walks=walks, seed=seed, draw=draw)


@app.command()
def doctor(
    environment: EnvironmentArgument,
    tool_timeout: TimeoutOption = 30.0,
    allow_side_effects: SideEffectsOption = False,
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
    environment: EnvironmentArgument,
    out: Annotated[
        Path, typer.Option(help="Directory for checkpoints, records, provenance and manifest.")
    ],
    num_trajectories: Annotated[
        int, typer.Option("--num-trajectories", "-n", help="Planned trajectories.", min=1)
    ] = 20,
    turns: Annotated[int, typer.Option(help="Turns per trajectory.", min=1, max=64)] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the run: same seed, same records.")] = 0,
    model: ModelOption = "offline",
    base_url: Annotated[
        str | None,
        typer.Option(
            help="Address of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1 (vLLM)."
        ),
    ] = None,
    max_concurrency: Annotated[
        int, typer.Option(help="Trajectories made at once.", min=1, max=512)
    ] = 4,
    critic_rounds: Annotated[
        int, typer.Option(help="Attempts per turn, corrected by the critic.", min=1, max=10)
    ] = 3,
    match_mode: Annotated[
        str, typer.Option(help="exact (call by call) or outcome (BFCL's rule).")
    ] = "exact",
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Walk only over tools that change nothing.")
    ] = False,
    tool_timeout: TimeoutOption = 30.0,
    allow_side_effects: SideEffectsOption = False,
) -> None:
    """Make verified trajectories. Run the same line again to go on where it stopped.

    Leaves in DIR: records.jsonl (verified records), provenance.jsonl, run.json (counts and
    reasons of rejections) and checkpoints.sqlite (every thread, to resume, fork or inspect).

    Exit status: 0 if records were made and nothing failed; 1 if nothing was accepted or something
    failed; 2 if the line cannot be run as it is; 130 after Ctrl-C, which lets each trajectory
    reach its next checkpoint (a second Ctrl-C does not wait).
    """
    from funreason_agents.cli.run import run_synthesis  # noqa: PLC0415

    loaded = _load(environment, tool_timeout, allow_side_effects)
    knobs = {
        "turns": turns,
        "critic_rounds": critic_rounds,
        "match_mode": match_mode,
        "read_only": read_only,
    }
    status = run_synthesis(
        loaded,
        target=environment,
        out=out,
        num_trajectories=num_trajectories,
        seed=seed,
        model=model,
        base_url=base_url,
        max_concurrency=max_concurrency,
        knobs=knobs,
    )
    raise typer.Exit(status)


@app.command()
def export(
    directory: RunArgument,
    out: Annotated[Path, typer.Option(help="Directory for the rows.")],
    format: Annotated[
        str,
        typer.Option(
            help="trl (messages + tools), trl-steps (one row per assistant message), or records."
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
    directory: RunArgument,
    environment: Annotated[
        str | None, typer.Option(metavar="ENV", help="Where to replay; default: as in run.json.")
    ] = None,
    tool_timeout: TimeoutOption = 30.0,
    allow_side_effects: SideEffectsOption = False,
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
    directory: RunArgument,
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
