"""Reinforcement learning with GRPO or EGPO, on single messages or in live episodes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from transformers import (
    AutoConfig,
    PreTrainedTokenizerBase,
)

from funreason_agents.environments.base import Environment
from funreason_agents.errors import TrainingError, boundary
from funreason_agents.export.writer import read_records
from funreason_agents.schemas.record import TrainingRecord
from funreason_agents.training.config import WEIGHTS
from funreason_agents.training.egpo import EGPOTrainer
from funreason_agents.training.episodes import make_episodes
from funreason_agents.training.machine import explain_trouble, find_precision
from funreason_agents.training.policy import (
    explain_sampling,
    make_policy_trainer,
    should_use_vllm,
)
from funreason_agents.training.reinforce_config import ReinforceConfig
from funreason_agents.training.rollouts import Assignment, assign_episodes, assign_messages
from funreason_agents.training.rows import read_rows
from funreason_agents.training.run_folder import (
    Progress,
    Reporter,
    TrainingResult,
    find_last_checkpoint,
    is_done,
    open_run,
    save_weights,
)
from funreason_agents.training.run_record import (
    forget_peak_memory,
    measure_peak_memory,
    read_curves,
    to_curves,
    write_run_record,
)
from funreason_agents.training.template import check_template, prepare_tokenizer

CURVE_NAMES = (
    "reward", "groups_with_signal", "loss", "kl", "entropy", "grad_norm", "egpo/bonus",
    "egpo/capped", "egpo/entropy", "egpo/reasoned", "episode/success", "episode/progress",
    "episode/broken", "completions/mean_length", "completions/clipped_ratio", "outcome/right",
    "outcome/template", "outcome/no_reasoning", "outcome/cut_off",
)  # fmt: skip
NO_SIGNAL = (
    "In no group did the rewards differ, so nothing could be learnt from them. Start from a model "
    "that is sometimes right (fine-tune it first), take easier items, or raise num_generations."
)
Items = str | Path | Sequence[Mapping[str, Any]] | Sequence[TrainingRecord]


class ReinforceResult(TrainingResult):
    """What a run gave; its metrics hold `groups_with_signal`, the share whose rewards differed."""

    @property
    def note(self) -> str:
        """What must be said with the result; empty if there is nothing."""
        return "" if self.metrics["groups_with_signal"] else NO_SIGNAL


def reinforce(
    rows_or_path: Items,
    config: ReinforceConfig,
    *,
    environment: Environment | None = None,
    on_progress: Progress | None = None,
) -> ReinforceResult:
    """Tune a model by trial and reward; go on if `output_dir` holds a checkpoint of this run.

    Without an environment, each item is one assistant message, graded against its reference as
    in the EGPO paper. With one, each turn of each record is a live episode in that environment,
    graded by the verifier. A run that is done is not run again: its result is returned.

    Args:
        rows_or_path: Rows or a file of them, as `load_rows` reads them. With an environment,
            records of that environment, or where they are.
        config: Settings.
        environment: Where live episodes are played.
        on_progress: Called at each step with `step`, `max_steps` and the logged values.

    Raises:
        TrainingError: the data, the template, the settings or the machine are unfit, `output_dir`
            holds another run, a loss is not finite, or memory ran out. Checkpoints are kept.
        EnvError: the environment broke.
    """
    check_boundaries(config)
    tokenizer = prepare_tokenizer(config.model, template=config.template)
    check_template(tokenizer)
    tokenizer.padding_side = "left"
    limited = _within_context(config)
    assignment = _assign(rows_or_path, limited, environment, tokenizer)
    folder = config.output_dir
    record = open_run(config, assignment.data_hash)
    if is_done(record, folder):
        return ReinforceResult(folder / WEIGHTS, dict(record["metrics"]), read_curves(folder))
    forget_peak_memory()
    with explain_trouble(config, _advise(config)), explain_sampling(), closing(assignment):
        trainer = make_policy_trainer(limited, tokenizer, assignment)
        if on_progress is not None:
            trainer.add_callback(Reporter(on_progress))
        if record is None and trainer.is_world_process_zero():
            write_run_record(folder, config, assignment.data_hash, {}, {}, status="running")
        return _run(trainer, config, assignment, tokenizer)


def _advise(config: ReinforceConfig) -> str:
    """Return what to lower when memory runs out."""
    return (
        f"Lower batch_size (now {config.batch_size}; the result stays the same), "
        f"max_completion_length (now {config.max_completion_length}) or vllm_gpu_memory"
    )


def check_boundaries(config: ReinforceConfig) -> None:
    """Check that all checkpoints lie between two rounds of rollouts: they hold none.

    Raises:
        TrainingError: one does not, so that going on from it would not be exact.
    """
    every = config.generation_steps
    for name, steps in (("save_steps", config.save_steps), ("steps", config.steps)):
        if steps % every:
            msg = (
                f"{name}={steps} does not lie between two rounds of rollouts, where alone a run "
                f"can be resumed exactly. Take a multiple of {every} (steps_per_generation x "
                "num_iterations)"
            )
            raise TrainingError(msg)


def _within_context(config: ReinforceConfig) -> ReinforceConfig:
    """Return settings under which prompt and completion fit into the model's context together."""
    with boundary(TrainingError, f"read the model {config.model!r}"):
        known = AutoConfig.from_pretrained(config.model).get_text_config()
    context = getattr(known, "max_position_embeddings", None)
    if context is None:
        return config
    room = max(0, context - config.max_completion_length)
    longest = min(config.max_prompt_length, room)
    return config.model_copy(update={"max_prompt_length": longest})


def _assign(
    given: Any,
    config: ReinforceConfig,
    environment: Environment | None,
    tokenizer: PreTrainedTokenizerBase,
) -> Assignment:
    if environment is None:
        return assign_messages(read_rows(given), tokenizer, config)
    records = read_records(given) if isinstance(given, str | Path) else list(given)
    if not all(isinstance(each, TrainingRecord) for each in records):
        msg = "live episodes need records, which know the state of the world; rows do not"
        raise TrainingError(msg)
    if getattr(tokenizer, "response_template", None) is None:
        msg = (
            f"calls that {config.model!r} writes with its own chat template cannot be read during "
            "an episode; give the house template as template=FILE, or take another model"
        )
        raise TrainingError(msg)
    return assign_episodes(make_episodes(records, environment), environment, tokenizer, config)


def _run(
    trainer: EGPOTrainer,
    config: ReinforceConfig,
    assignment: Assignment,
    tokenizer: PreTrainedTokenizerBase,
) -> ReinforceResult:
    folder = config.output_dir
    last = find_last_checkpoint(folder)
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    seconds = time.perf_counter() - started
    weights = save_weights(trainer, config, tokenizer)
    # A value that no rollout had is None in TRL's log.
    history = [
        {k: v for k, v in each.items() if v is not None} for each in trainer.state.log_history
    ]
    curves = to_curves(history, CURVE_NAMES)
    metrics = {
        **_summarise(curves),
        "kind": "messages" if assignment.worlds is None else "episodes",
        "items": len(assignment.prompts),
        "too_long": assignment.given - len(assignment.prompts),
        "steps": trainer.state.global_step,
        "resumed_from": None if last is None else last.name,
        "seconds": seconds,
        "tokens_seen": trainer.state.num_input_tokens_seen,
        "peak_memory_bytes": measure_peak_memory(),
        "processes": trainer.accelerator.num_processes,
        "device": str(trainer.args.device),
        "precision": find_precision(config),
        "vllm": should_use_vllm(config),
    }
    if trainer.is_world_process_zero():
        write_run_record(folder, config, assignment.data_hash, metrics, curves)
    trainer.accelerator.wait_for_everyone()
    return ReinforceResult(weights, metrics, curves)


def _summarise(curves: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, float]:
    """Return what a run came to in a few numbers; first and last are means over a tenth of it."""
    values = {name: [value for _, value in points] for name, points in curves.items()}
    rewards = values.get("reward", [])
    tenth = max(1, len(rewards) // 10)
    return {
        "reward_first": _mean(rewards[:tenth]),
        "reward_last": _mean(rewards[-tenth:]),
        "groups_with_signal": _mean(values.get("groups_with_signal", [])),
        "bonus": _mean(values.get("egpo/bonus", [])),
        "capped": _mean(values.get("egpo/capped", [])),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
