"""`funreason train rl`: reinforcement learning on rows, or in live episodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from rich.markup import escape

from funreason_agents.cli.console import console
from funreason_agents.errors import ConfigurationError
from funreason_agents.extras import require_extra

if TYPE_CHECKING:
    from funreason_agents.environments.base import Environment
    from funreason_agents.training.rl import ReinforceResult


def train_rl(
    rows: Path, settings: dict[str, Any], *, environment: Environment | None = None
) -> ReinforceResult:
    """Tune a model by trial and reward, and print how it went.

    Args:
        rows: File of rows or of records, or directory of a run.
        settings: Fields of `ReinforceConfig`.
        environment: Play live episodes in it; None grades single messages.

    Raises:
        ConfigurationError: a setting is unknown or out of bounds.
        MissingExtraError: the training packages are not installed.
        TrainingError: the data, the template, the settings or the machine are unfit.
        EnvError: the environment broke.
    """
    from funreason_agents.training.reinforce_config import ReinforceConfig  # noqa: PLC0415

    try:
        config = ReinforceConfig.model_validate(settings)
    except ValidationError as exc:
        told = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'settings'}: {each['msg']}"
            for each in exc.errors()
        )
        msg = f"these settings cannot be used: {told}"
        raise ConfigurationError(msg) from exc
    require_extra("train", "torch", "transformers", "trl", "peft", "datasets", "accelerate")
    from funreason_agents.training.rl import reinforce  # noqa: PLC0415  # needs the extra

    result = reinforce(rows, config, environment=environment, on_progress=_print_step)
    _print_result(result)
    return result


def _print_step(step: dict[str, Any]) -> None:
    if "reward" not in step:
        return
    parts = [
        f"step {step['step']}/{step['max_steps']}",
        f"reward {step['reward']:.3f}",
        f"groups with signal {step['groups_with_signal']:.0%}",
        f"loss {step['loss']:.4f}",
    ]
    if step.get("egpo/entropy") is not None:
        parts.append(f"reasoning entropy {step['egpo/entropy']:.3f}")
    console.print("  ".join(parts), highlight=False)


def _print_result(result: ReinforceResult) -> None:
    metrics = result.metrics
    if metrics["too_long"]:
        console.print(f"{metrics['too_long']} items were left out: their prompts are too long.")
    console.print(
        f"[bold]Reward {metrics['reward_first']:.3f} at first, {metrics['reward_last']:.3f} at "
        f"last[/] over {metrics['steps']} steps; rewards differed in "
        f"{metrics['groups_with_signal']:.0%} of the groups."
    )
    if result.note:
        console.print(f"[yellow]{escape(result.note)}[/]")
    console.print(f"Weights: {escape(str(result.weights))}", highlight=False)
