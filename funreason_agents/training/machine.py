"""What a training's settings mean on this machine: precision, adapter, processes, memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState
from peft import LoraConfig

from funreason_agents.errors import TrainingError
from funreason_agents.training.config import CommonSettings

MEMORY_SIGNS = ("out of memory", "can't allocate memory")
"""In what PyTorch says when an accelerator or the machine has no memory left."""


def find_precision(config: CommonSettings) -> str:
    """Return what `dtype="auto"` means on this machine."""
    if config.dtype != "auto":
        return config.dtype
    able = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "mixed" if able else "float32"


def make_lora(config: CommonSettings, alpha: int | None = None) -> LoraConfig | None:
    """Return the adapter that is tuned, or None if all weights are.

    Args:
        config: Settings.
        alpha: LoRA scale; None means 2 * rank.
    """
    if config.lora_rank is None:
        return None
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=alpha or 2 * config.lora_rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def is_cpu_only() -> bool:
    """Return whether there is no accelerator.

    The training libraries must be told so: else several processes would train apart.
    """
    return not torch.accelerator.is_available()


def share_work() -> PartialState:
    """Return which of how many processes this is; one process unless a launcher made more."""
    return PartialState(cpu=is_cpu_only())


@contextmanager
def explain_memory(config: CommonSettings, advice: str) -> Iterator[None]:
    """Say what to lower when memory runs out.

    Args:
        config: Settings of the run.
        advice: What to lower first; what helps every training is added.

    Raises:
        TrainingError: it did.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as exc:
        text = str(exc).lower()
        known = isinstance(exc, MemoryError | torch.OutOfMemoryError)
        if not known and not any(sign in text for sign in MEMORY_SIGNS):
            raise
        msg = (
            f"out of memory. {advice}, or set gradient_checkpointing, dtype='bfloat16' or "
            f"lora_rank. Earlier checkpoints in {str(config.output_dir)!r} are kept"
        )
        raise TrainingError(msg) from exc
