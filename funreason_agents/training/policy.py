"""TRL's trainer, made from our settings, with errors that say what to do."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig

from funreason_agents.errors import TrainingError
from funreason_agents.training.egpo import EGPOTrainer
from funreason_agents.training.machine import (
    find_precision,
    make_arguments,
    make_lora,
    share_work,
)
from funreason_agents.training.reinforce_config import ReinforceConfig
from funreason_agents.training.rollouts import Assignment


def make_policy_trainer(
    config: ReinforceConfig, tokenizer: PreTrainedTokenizerBase, assignment: Assignment
) -> EGPOTrainer:
    """Return a trainer that is ready to train a freshly loaded model.

    Raises:
        TrainingError: the model cannot be loaded, or the settings do not fit the machine.
    """
    with warnings.catch_warnings():
        # TRL calls tools and environments experimental; its version is pinned for that reason.
        warnings.filterwarnings("ignore", message=r"(?s).*experimental", category=UserWarning)
        trainer = EGPOTrainer(
            model=config.model,
            reward_funcs=[assignment.reward],
            args=_to_arguments(config, tokenizer),
            train_dataset=assignment.prompts,
            processing_class=tokenizer,
            peft_config=make_lora(config),
            environment_factory=assignment.worlds,
            callbacks=[_Guard()],
            lam=config.lam if config.algorithm == "egpo" else 0.0,
            alpha=config.alpha,
        )
    trainer.remove_callback(PrinterCallback)
    if assignment.worlds is not None:
        # TRL would describe the tools by the signatures of the methods, with less in them than
        # the schemas that the model was fine-tuned with and will be served with.
        trainer._env_tools = dict(assignment.offered)
    return trainer


def _to_arguments(config: ReinforceConfig, tokenizer: PreTrainedTokenizerBase) -> GRPOConfig:
    weights = "bfloat16" if find_precision(config) == "bfloat16" else "float32"
    accumulation = find_accumulation(config)
    by_vllm = should_use_vllm(config)
    return make_arguments(
        GRPOConfig,
        config,
        model_init_kwargs={"dtype": weights},
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=accumulation,
        steps_per_generation=accumulation * config.steps_per_generation,
        num_iterations=config.num_iterations,
        num_generations=config.num_generations,
        max_completion_length=config.max_completion_length,
        max_tool_calling_iterations=config.max_tool_rounds,
        temperature=config.temperature,
        beta=config.beta,
        loss_type=config.loss_type,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=config.warmup_steps,
        max_steps=config.steps,
        use_vllm=by_vllm,
        # It knows the ends of messages from the model's files only, not from the chat template.
        generation_kwargs={"stop_token_ids": [tokenizer.eos_token_id]} if by_vllm else None,
        vllm_mode="colocate",
        vllm_gpu_memory_utilization=config.vllm_gpu_memory,
        vllm_max_model_length=config.max_prompt_length + config.max_completion_length,
        save_steps=config.save_steps,
        logging_steps=1,
    )


def should_use_vllm(config: ReinforceConfig) -> bool:
    """Return what `use_vllm="auto"` means on this machine.

    Raises:
        TrainingError: it is asked for and cannot be.
    """
    able = torch.cuda.is_available() and find_spec("vllm") is not None
    if config.use_vllm is True and not able:
        msg = "use_vllm needs a GPU and the package vllm; take 'auto', or false"
        raise TrainingError(msg)
    return able if config.use_vllm == "auto" else bool(config.use_vllm)


def find_accumulation(config: ReinforceConfig) -> int:
    """Return the micro-batches per process that make up one optimizer step.

    Raises:
        TrainingError: the rollouts of a step cannot be split evenly.
    """
    processes = int(share_work().num_processes)
    rollouts = config.prompts_per_step * config.num_generations
    if rollouts % (config.batch_size * processes):
        msg = (
            f"the {rollouts} rollouts of a step cannot be split into micro-batches of "
            f"{config.batch_size} for {processes} processes; change batch_size or prompts_per_step"
        )
        raise TrainingError(msg)
    return rollouts // (config.batch_size * processes)


@contextmanager
def explain_sampling() -> Iterator[None]:
    """Say what it means if no token can be drawn.

    Raises:
        TrainingError: the model broke down.
    """
    try:
        yield
    except RuntimeError as exc:
        # What sampling says of logits that are no numbers, on a CPU and on a GPU.
        if not any(sign in str(exc) for sign in ("probability tensor contains", "device-side")):
            raise
        msg = (
            "the model gives no probabilities any more (NaN); lower learning_rate. Earlier "
            "checkpoints are kept"
        )
        raise TrainingError(msg) from exc


class _Guard(TrainerCallback):
    """Stops where the loss is no number, before another checkpoint is written."""

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Look at what is logged."""
        for name in ("loss", "grad_norm"):
            value = (logs or {}).get(name, 0.0)
            if not math.isfinite(value):
                msg = (
                    f"the {name} of step {state.global_step} is {value}; lower learning_rate. "
                    "Earlier checkpoints are kept"
                )
                raise TrainingError(msg)
