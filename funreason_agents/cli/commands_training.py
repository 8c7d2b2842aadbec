"""Commands that teach a student: refine rows, train, serve, and find out what it cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from funreason_agents.cli import options
from funreason_agents.cli.loading import load

Mode = Literal["fcdr", "split", "hdr", "egpo"]
RowsArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Directory of a run (its records.jsonl) or of an export (its train.jsonl), or a file: "
        "records, or JSON lines (or one list) with prompt, completion and tools, or with messages "
        "and tools.",
        show_default=False,
    ),
]
TunedOption = Annotated[
    str, typer.Option("--model", help="Directory or hub name of the model to tune.")
]
WeightsOption = Annotated[
    Path, typer.Option("--out", help="Directory for checkpoints, weights and the run record.")
]
RankOption = Annotated[
    int | None, typer.Option(help="Rank of LoRA adapters; all weights are tuned without it.", min=1)
]
RefinementSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KNOB=VALUE",
        help="Any other knob: batch (rows per step), regenerations (most answers made anew per "
        "row); for hdr: samples (answers per hard row), tau (least score at which a judge "
        "agrees), max_rounds. May be repeated.",
    ),
]
SettingOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KNOB=VALUE", help="Any other knob of the run. May be repeated."),
]


def probe(
    environment: options.EnvironmentArgument,
    out: options.ProfileOption,
    model: options.ModelOption,
    base_url: options.BaseUrlOption = None,
    records: options.ProbeRecordsOption = None,
    attempts: options.AttemptsOption = 4,
    num_tasks: options.NumberOfTasksOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the tasks.")] = 0,
    instructions: options.InstructionsOption = None,
    hard_turns: options.HardTurnsOption = None,
    set_: options.SetOption = None,
    max_concurrency: Annotated[
        int, typer.Option(help="Tasks solved at once, each with all its attempts.", min=1, max=512)
    ] = 4,
    tool_timeout: options.TimeoutOption = 30.0,
    allow_side_effects: options.SideEffectsOption = False,
) -> None:
    """Find out what a student model cannot do, for `funreason synthesize --curriculum`.

    The student solves each task several times, as it will be used: with the conversation and the
    tools, no hint and no critique. The verifier decides. Its pass rates by tool and by kind of
    turn, and the weights that follow from them, are printed and go to the file. Run the same line
    again to go on where it stopped.

    Exit status: 0; 1 if the provider or the environment broke; 2 if the line cannot be run as it
    is; 130 after Ctrl-C.
    """
    from funreason_agents.cli.probe import run_probe  # noqa: PLC0415

    status = run_probe(
        load(environment, tool_timeout, allow_side_effects),
        out=out,
        records=records,
        model=model,
        base_url=base_url,
        k=attempts,
        num_tasks=num_tasks,
        seed=seed,
        instructions=instructions,
        max_concurrency=max_concurrency,
        knobs={
            "hard_turns": options.parse_hard_turns(hard_turns),
            **options.parse_knobs(set_),
        },
    )
    raise typer.Exit(status)


def refine(
    data: RowsArgument,
    out: Annotated[Path, typer.Option(help="Directory of this refinement alone.")],
    mode: Annotated[
        Mode,
        typer.Option(
            help="fcdr (five checks, repairs), split (qualified, hard, dropped), hdr (a student "
            "answers the hard rows), or egpo (judge and repair, then syntax)."
        ),
    ] = "fcdr",
    model: options.ModelOption = "offline",
    base_url: options.BaseUrlOption = None,
    student: Annotated[
        str | None, typer.Option(help="hdr: the model that answers hard rows; not offline.")
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            help="hdr: a model that must find an answer good; not offline; may be repeated."
        ),
    ] = None,
    set_: RefinementSetOption = None,
) -> None:
    """Check the rows of a training set, repair what can be repaired, and leave the rest out.

    Offline, code alone decides and repairs. A model may only judge more strictly, and answer
    anew. Leaves in DIR: kept.jsonl, hard.jsonl, dropped.jsonl and refinement.json (counts by
    check). Run the same line again to go on where it stopped.

    Exit status: 0; 1 if something broke; 2 if the line cannot be run as it is; 130 after Ctrl-C.
    """
    from funreason_agents.cli.refine import refine_data  # noqa: PLC0415
    from funreason_agents.cli.settings import read_options  # noqa: PLC0415
    from funreason_agents.refinement.options import RefinementContext  # noqa: PLC0415

    refine_data(
        data,
        out=out,
        mode=mode,
        model=model,
        base_url=base_url,
        student=student,
        judges=judge,
        context=read_options(RefinementContext, options.parse_knobs(set_), knobs=True),
    )


def train_sft(
    data: RowsArgument,
    model: TunedOption,
    out: WeightsOption,
    loss: Annotated[
        str,
        typer.Option(
            help="standard (all tokens alike), srml (reasoning and result weighed by alpha and "
            "1 - alpha), or ssb (alpha is learnt)."
        ),
    ] = "ssb",
    heldout: Annotated[
        Path | None, typer.Option(help="Rows to measure the loss on, before and after.")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(help="Optimizer steps, instead of one pass over the rows.", min=1)
    ] = None,
    lora_rank: RankOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the run.", min=0)] = 0,
    set_: SettingOption = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check settings, rows and the chat template, train nothing."
        ),
    ] = False,
) -> None:
    r"""Fine-tune a model on accepted messages. Run the same line again to go on where it stopped.

    Each row is one message of the assistant, and the loss falls on nothing else. Before the first
    step the chat template, the length of the rows and the overlap with --heldout are checked.

    Leaves in DIR: the weights, the checkpoints, run.json (settings, versions, data hash, numbers),
    curves.json and curves.png. Needs: pip install "funreason-agents\[train]".

    Exit status: 0; 1 if training cannot start or had to stop; 2 if the line cannot be run as it is.
    """
    from funreason_agents.cli.train import run_fine_tuning  # noqa: PLC0415

    settings: dict[str, Any] = {
        "model": model,
        "output_dir": out,
        "loss": loss,
        "max_steps": max_steps,
        "lora_rank": lora_rank,
        "seed": seed,
        **options.parse_knobs(set_),
    }
    run_fine_tuning(data, settings, heldout=heldout, dry_run=dry_run)


def train_rl(
    data: RowsArgument,
    model: TunedOption,
    out: WeightsOption,
    environment: Annotated[
        str | None,
        typer.Option(
            metavar="ENV",
            help="Play the turns of the records live in this environment, judged by the verifier. "
            "Without it, single messages are compared with the rows' own.",
        ),
    ] = None,
    algorithm: Annotated[
        str, typer.Option(help="egpo (reasoning entropy raises the advantage) or grpo.")
    ] = "egpo",
    steps: Annotated[int, typer.Option(help="Optimizer steps.", min=1)] = 100,
    lora_rank: RankOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the run.", min=0)] = 0,
    set_: SettingOption = None,
    tool_timeout: options.TimeoutOption = 30.0,
    allow_side_effects: options.SideEffectsOption = False,
) -> None:
    r"""Tune a model by trial and reward. Run the same line again to go on where it stopped.

    The share of groups whose rewards differ is printed: where it is 0, nothing is learnt.

    Leaves in DIR what `train sft` leaves. Needs: pip install "funreason-agents\[train]".

    Exit status: 0; 1 if training cannot start or had to stop; 2 if the line cannot be run as it is.
    """
    from funreason_agents.cli.train import run_reinforcement  # noqa: PLC0415

    settings: dict[str, Any] = {
        "model": model,
        "output_dir": out,
        "algorithm": algorithm,
        "steps": steps,
        "lora_rank": lora_rank,
        "seed": seed,
        **options.parse_knobs(set_),
    }
    world = load(environment, tool_timeout, allow_side_effects) if environment else None
    run_reinforcement(data, settings, environment=world)


def serve(
    weights: Annotated[
        Path, typer.Argument(help="Directory that `funreason train` left.", show_default=False)
    ],
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    name: Annotated[
        str | None, typer.Option(help="Model name that clients ask for; default: the directory's.")
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(help="Python of the environment that vLLM is installed in; default: this."),
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Run vLLM on the CPU.")] = False,
    template: Annotated[
        Path | None,
        typer.Option(
            help="Chat template; default: the weights' own, or ours if that writes no tool calls."
        ),
    ] = None,
    tool_parser: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="vLLM's parser for tool calls, such as llama3_json; default: hermes, if the "
            "template writes calls as JSON in <tool_call> tags.",
        ),
    ] = None,
    reasoning_parser: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="vLLM's parser for reasoning, such as qwen3; default: ours, if the template has "
            "<think> tags.",
        ),
    ] = None,
    log: Annotated[Path | None, typer.Option(help="File for what vLLM prints.")] = None,
) -> None:
    """Serve tuned weights with vLLM, with the template and the parsers that fit them.

    Prints the address and the model string for `--model` and `--base-url`, or for ChatOpenAI.
    """
    from funreason_agents.cli.serve import serve_weights  # noqa: PLC0415

    serve_weights(
        weights,
        port=port,
        host=host,
        served_name=name,
        python=python,
        cpu=cpu,
        template=template,
        tool_parser=tool_parser,
        reasoning_parser=reasoning_parser,
        log=log,
    )
