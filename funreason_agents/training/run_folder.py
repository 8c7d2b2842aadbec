"""A training run's directory: whose it is, where the run stands, and the weights it ends with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import align_special_tokens

from funreason_agents.errors import TrainingError
from funreason_agents.training.config import ADAPTER, WEIGHTS, CommonSettings
from funreason_agents.training.run_record import read_run_record, require_same_run

_STATE = "trainer_state.json"
Progress = Callable[[dict[str, Any]], None]
"""Told of each logged step: `step`, `max_steps` and the logged values."""


@dataclass(frozen=True)
class TrainingResult:
    """What a run gave."""

    weights: Path
    """Directory of the whole tuned model with its tokenizer and chat template; a LoRA run's
    adapter is merged into it, and lies beside it in `adapter`."""
    metrics: dict[str, Any]
    """As in run.json: what was checked and left out, results, speed, memory."""
    curves: dict[str, list[tuple[int, float]]]
    """(optimizer step, value) by name."""


def open_run(config: CommonSettings, data_hash: str) -> dict[str, Any] | None:
    """Return what is recorded of this run so far.

    Returns:
        The record; None if there is none, or of a run that stopped before its first checkpoint:
        there is nothing to go on from, and nothing to lose.

    Raises:
        TrainingError: the directory holds another run, or weights of nobody knows what.
    """
    folder = config.output_dir
    record = read_run_record(folder)
    if record is None:
        foreign = [name for name in (WEIGHTS, ADAPTER) if (folder / name).exists()]
        foreign += [path.name for path in folder.glob("checkpoint-*")]
        if foreign:
            msg = f"{str(folder)!r} holds {foreign[0]} but no run.json; choose another directory"
            raise TrainingError(msg)
        return None
    if record.get("status") != "done" and find_last_checkpoint(folder) is None:
        return None
    require_same_run(record, config, data_hash, folder)
    return record


def is_done(record: Mapping[str, Any] | None, folder: Path) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a run came to its end, and its weights are there."""
    return record is not None and record.get("status") == "done" and (folder / WEIGHTS).is_dir()


def find_last_checkpoint(folder: Path, required: Sequence[str] = ()) -> Path | None:
    """Return the newest whole checkpoint; the trainer's state is what is written last.

    Args:
        folder: Of the run.
        required: Files that it must hold besides.
    """
    whole = [
        path
        for path in folder.glob("checkpoint-*")
        if _is_json(path / _STATE) and all((path / name).is_file() for name in required)
    ]
    return max(whole, key=step_of, default=None)


def step_of(checkpoint: Path | None) -> int:
    """Return the optimizer step that a checkpoint was saved at; 0 without one."""
    return 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def save_weights(
    trainer: Trainer,
    config: CommonSettings,
    tokenizer: PreTrainedTokenizerBase,
) -> Path:
    """Save the whole model, and return where it is.

    It is written beside and renamed, so that the directory is never half there. The adapter of a
    LoRA run is saved too, and merged into the model.
    """
    folder, lora = config.output_dir, config.lora_rank is not None
    target, half = folder / WEIGHTS, folder / f".{WEIGHTS}"
    if trainer.is_fsdp_enabled:  # checkpoints may lie in parts; what is used later is whole
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(folder / ADAPTER if lora else half))
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        if lora:
            base = AutoModelForCausalLM.from_pretrained(config.model, dtype=torch.float32)
            tuned = PeftModel.from_pretrained(base, str(folder / ADAPTER)).merge_and_unload()
            # As the trainer did with the model that it tuned.
            align_special_tokens(tuned, tokenizer)  # type: ignore[no-untyped-call]
            tuned.save_pretrained(half)
        tokenizer.save_pretrained(half)
        shutil.rmtree(target, ignore_errors=True)
        half.rename(target)
    trainer.accelerator.wait_for_everyone()
    return target


class Reporter(TrainerCallback):
    """Tells the caller about each logged step."""

    def __init__(self, tell: Progress) -> None:
        self.tell = tell

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Pass on what is logged at a step; the summary at the end is not told."""
        if logs and "loss" in logs and state.is_world_process_zero:
            self.tell({"step": state.global_step, "max_steps": state.max_steps, **logs})
