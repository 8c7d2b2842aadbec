"""`funreason train`: settings, training with progress, and a summary."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from funreason_agents.cli.console import console
from funreason_agents.cli.progress import say_now_and_then
from funreason_agents.cli.settings import read_options
from funreason_agents.environments.base import Environment
from funreason_agents.errors import MissingExtraError
from funreason_agents.extras import TRAIN, require_extra
from funreason_agents.training.config import FineTuneConfig
from funreason_agents.training.reinforce_config import ReinforceConfig

SEGMENTS = ("reasoning", "result", "all")
LINE_EVERY = 10.0
"""Seconds between two lines of progress."""


def run_fine_tuning(
    data: Path, settings: dict[str, Any], *, heldout: Path | None = None, dry_run: bool = False
) -> int:
    """Tune a model on a file of rows or records, and print what came of it.

    Args:
        data: What to train on.
        settings: Fields of `FineTuneConfig`.
        heldout: What to measure the loss on, before and after.
        dry_run: Check settings and rows, train nothing. Without the training libraries, template
            and lengths are left unchecked, and it says so.

    Returns:
        The exit status: 0.

    Raises:
        ConfigurationError: a setting is unknown or out of bounds.
        MissingExtraError: the training libraries are not installed.
        TrainingError: as `training.fine_tune`.
    """
    config = read_options(FineTuneConfig, settings, knobs=True)
    if dry_run:
        _print_plan(data, heldout, config)
        return 0
    _require_libraries()
    from funreason_agents.training.sft import fine_tune  # noqa: PLC0415  # needs the extra

    result = fine_tune(data, config, heldout=heldout, on_progress=_print_steps())
    if not _is_first():
        return 0
    _summarise(result.metrics)
    console.print(f"Weights: {escape(str(result.weights))}")
    return 0


def run_reinforcement(
    data: Path, settings: dict[str, Any], *, environment: Environment | None = None
) -> int:
    """Tune a model by trial and reward, and print what came of it.

    Args:
        data: File of rows or of records, or directory of a run.
        settings: Fields of `ReinforceConfig`.
        environment: Where live episodes are played; None grades single messages.

    Returns:
        The exit status: 0.

    Raises:
        ConfigurationError: a setting is unknown or out of bounds.
        MissingExtraError: the training libraries are not installed.
        TrainingError: as `training.reinforce`.
        EnvError: the environment broke.
    """
    config = read_options(ReinforceConfig, settings, knobs=True)
    _require_libraries()
    from funreason_agents.training.rl import reinforce  # noqa: PLC0415  # needs the extra

    result = reinforce(data, config, environment=environment, on_progress=_print_round)
    if not _is_first():
        return 0
    _summarise_rewards(result.metrics)
    if result.note:
        console.print(f"[yellow]{escape(result.note)}[/]")
    console.print(f"Weights: {escape(str(result.weights))}")
    return 0


def _require_libraries() -> None:
    require_extra("train", *TRAIN)
    # What the libraries tell each other about names to come, nobody here can act on.
    warnings.filterwarnings("ignore", ".*gradient_checkpointing.*", FutureWarning)


def _is_first() -> bool:
    """Return whether this process is the one of several that speaks."""
    from funreason_agents.training.machine import share_work  # noqa: PLC0415  # needs the extra

    return bool(share_work().is_main_process)


def _print_plan(data: Path, heldout: Path | None, config: FineTuneConfig) -> None:
    from funreason_agents.training.rows import load_rows  # noqa: PLC0415  # slow to import

    rows = load_rows(data)
    console.print(f"{len(rows)} rows to train on" + _tell_kinds(rows))
    if heldout is not None:
        console.print(f"{len(load_rows(heldout))} rows held out")
    table = Table("setting", "value", box=None)
    for name, value in config.model_dump(mode="json").items():
        table.add_row(name, escape(str(value)))
    console.print(table)
    try:
        _require_libraries()
    except MissingExtraError as exc:
        told = f"Lengths and the chat template were not checked: {exc}"
    else:
        from funreason_agents.training.sft import check_fine_tuning  # noqa: PLC0415  # the extra

        told = _tell_checks(check_fine_tuning(data, config, heldout=heldout).to_json())
    console.print(f"{escape(told)}\nNothing was trained.")


def _tell_kinds(rows: list[dict[str, Any]]) -> str:
    answers = [row["completion"][0] for row in rows]
    reasoned = sum("reasoning_content" in answer for answer in answers)
    calling = sum(bool(answer.get("tool_calls")) for answer in answers)
    return f": {reasoned} with reasoning, {calling} with calls"


def _print_steps() -> Callable[[dict[str, Any]], None]:
    say = say_now_and_then(LINE_EVERY)
    labels = {
        "loss": "loss", "reasoning_loss": "reasoning", "result_loss": "result", "alpha": "alpha"
    }  # fmt: skip

    def tell(logged: dict[str, Any]) -> None:
        parts = [f"{label} {logged[name]:.4f}" for name, label in labels.items() if name in logged]
        step, last = logged["step"], logged["max_steps"]
        say(f"step {step} of {last}: {', '.join(parts)}", now=step in {1, last})

    return tell


def _print_round(logged: dict[str, Any]) -> None:
    """Print a line for each step: one of them takes long."""
    parts = [f"loss {logged['loss']:.4f}"]
    if "reward" in logged:  # not if a step learns from rollouts of an earlier one
        signal = f"groups with signal {logged['groups_with_signal']:.0%}"
        parts = [f"reward {logged['reward']:.3f}", signal, *parts]
    if logged.get("egpo/entropy") is not None:
        parts.append(f"reasoning entropy {logged['egpo/entropy']:.3f}")
    console.print(f"step {logged['step']} of {logged['max_steps']}: {', '.join(parts)}")


def _tell_checks(checks: dict[str, Any]) -> str:
    return (
        f"{checks['kept']} of {checks['rows']} rows fit to train on "
        f"({checks['too_long']} left out with more than {checks['max_length']} tokens, "
        f"{checks['heldout_duplicates']} that are held out too); tokens: "
        + ", ".join(f"{count} {name}" for name, count in checks["tokens"].items())
    )


def _summarise(metrics: dict[str, Any]) -> None:
    console.print(f"\nTrained: {_tell_checks(metrics['checks'])}")
    speed = metrics["tokens_per_second"]  # none if all had been trained on before
    console.print(
        f"{metrics['steps']} steps, "
        + (f"{speed:.0f} tokens/s, " if speed else "")
        + f"peak memory {metrics['peak_memory_bytes'] / 2**30:.2f} GiB"
    )
    if "heldout" not in metrics:
        return
    left_out = metrics["heldout"].get("left_out")
    if left_out:
        console.print(f"{left_out} held-out rows were left out: they are too long.")
    table = Table("held-out loss", *SEGMENTS, box=None)
    for when in ("before", "after"):
        losses = metrics["heldout"][when]
        table.add_row(
            when, *("-" if losses[name] is None else f"{losses[name]:.4f}" for name in SEGMENTS)
        )
    console.print(table)


def _summarise_rewards(metrics: dict[str, Any]) -> None:
    if metrics["too_long"]:
        console.print(f"{metrics['too_long']} items were left out: their prompts are too long.")
    console.print(
        f"\n[bold]Reward {metrics['reward_first']:.3f} at first, {metrics['reward_last']:.3f} at "
        f"last[/] over {metrics['steps']} steps; rewards differed in "
        f"{metrics['groups_with_signal']:.0%} of the groups."
    )
