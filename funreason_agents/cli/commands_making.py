"""Commands that look at an environment and make records in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from funreason_agents.cli import options
from funreason_agents.cli.loading import load

ReviewOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="query|turn",
        help="Have a person judge each written query, or each verified turn, or (given twice) "
        "both: trajectories then wait for `funreason review DIR`.",
    ),
]


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

    loaded = load(environment, tool_timeout, allow_side_effects)
    explore_environment(loaded, walks=walks, seed=seed, draw=draw)


def doctor(
    environment: options.EnvironmentArgument,
    tool_timeout: options.TimeoutOption = 30.0,
    allow_side_effects: options.SideEffectsOption = False,
) -> None:
    """Check an environment: schemas, state, determinism, side effects, unreachable tools.

    Exit status: 0 if it is fit for synthesis, 1 if not.
    """
    from funreason_agents.cli.inspect import examine_environment  # noqa: PLC0415

    loaded = load(environment, tool_timeout, allow_side_effects)
    # By its name it can be loaded again, in other processes; with side effects it is not.
    examined = loaded if allow_side_effects else environment
    raise typer.Exit(0 if examine_environment(loaded, examined) else 1)


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
    curriculum: options.CurriculumOption = None,
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
        loaded := load(environment, tool_timeout, allow_side_effects),
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
            **options.read_curriculum(curriculum, loaded, options.parse_hard_turns(hard_turns)),
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
        load=lambda target: load(target, tool_timeout, allow_side_effects),
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
